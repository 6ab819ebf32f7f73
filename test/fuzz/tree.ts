import assert from 'node:assert/strict'
import fc from 'fast-check'
import { hasCode } from '../../src/error.ts'
import { type Entry, type EntryType, newEntry } from '../../src/formats/entry.ts'
import { Merge } from '../../src/image/merge/apply-layers.ts'
import type { Directory } from '../../src/formats/tree.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { OverlayStack, Refused } from '../fixtures/overlayfs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { contentOf, formatTree } from '../fixtures/tree-text.ts'

/** For whoever runs what is in here. */
export const needs = needsRoot

/** Random layers, merged by us and mounted by the kernel's overlayfs, show the same tree. Needs root. */
export function fuzzTree(seed: number, rounds: number): void {
  const layers = fc.array(fc.array(entry, { maxLength: 14 }), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(layers, (wanted) => compareWithOverlayfs(wanted)),
    { seed, numRuns: rounds },
  )
}

/** An entry that one side refuses must be refused by the other; it is left out and the layer goes on. */
function compareWithOverlayfs(wanted: Entry[][]): void {
  using folder = scratch('overlay')
  const stack = new OverlayStack(folder.path)
  const layers: Entry[][] = []
  for (const entries of wanted) {
    const layer = stack.layer()
    const accepted: Entry[] = []
    for (const each of entries) {
      const made = tryTo(() => layer.add(each))
      const merged = tryTo(() => merge([...layers, [...accepted, each]]))
      assert.equal(merged, made, `${each.type} ${each.path} ${each.link}`)
      if (made) accepted.push(each)
    }
    layers.push(accepted)
    assert.deepEqual(formatTree(merge(layers)), formatTree(stack.close(layer)))
  }
}

function merge(layers: Entry[][]): Directory {
  const result = new Merge()
  for (const each of layers) result.apply(each, 'layer')
  return result.finish()
}

function tryTo(action: () => void): boolean {
  try {
    action()
    return true
  } catch (error) {
    if (error instanceof Refused || hasCode(error, 'BAD_FORMAT')) return false
    throw error
  }
}

/** Few names, so that layers meet: in one another's files, directories, links and whiteouts. */
const name = fc.constantFrom('a', 'b', '\xff')
const deep = 'a/'.repeat(60)
const folder = fc.oneof(
  { weight: 20, arbitrary: fc.array(name, { maxLength: 2 }).map((names) => names.map((each) => `${each}/`).join('')) },
  { weight: 1, arbitrary: fc.constant(deep) },
)
const path = fc.tuple(folder, name).map(([parent, last]) => parent + last)
const marker = fc.tuple(
  folder,
  fc.oneof(
    { weight: 6, arbitrary: name.map((each) => `.wh.${each}`) },
    { weight: 3, arbitrary: fc.constant('.wh..wh..opq') },
    { weight: 1, arbitrary: fc.constantFrom('.wh..wh.plnk', '.wh..wh.plnk/1', '.wh.', '.wh..', '.wh...', '.wh.a/b') },
  ),
)

const xattrs = fc
  .dictionary(
    fc.constantFrom('user.a', 'user.overlay.opaque', 'trusted.overlay.opaque', 'security.b', 'btrfs.c'),
    fc.string(),
    {
      maxKeys: 2,
      noNullPrototype: true,
    },
  )
  .map((values) => new Map(Object.entries(values).map(([key, value]) => [key, Buffer.from(value)])))

const metadata = fc.record({
  mode: fc.nat({ max: 0o7777 }),
  uid: fc.nat({ max: 70_000 }),
  gid: fc.nat({ max: 70_000 }),
  mtime: fc.integer({ min: -1_000_000, max: 2_000_000_000 }),
  mtimeNsec: fc.constantFrom(0, 1, 999_999_999),
  xattrs: fc.oneof(
    { weight: 3, arbitrary: fc.constant(new Map<string, Uint8Array>()) },
    { weight: 1, arbitrary: xattrs },
  ),
})

const content = fc.tuple(fc.constantFrom(0, 1, 64, 65, 5000), fc.nat({ max: 255 }))
const number = fc.tuple(fc.constantFrom(0, 1, 4095), fc.constantFrom(0, 3, 255, 256, 1_048_575))

const entry: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 5, arbitrary: of('directory', fc.constant({})) },
  {
    weight: 6,
    arbitrary: of(
      'file',
      content.map(([size, byte]) => ({ content: contentOf(Buffer.alloc(size, byte)) })),
    ),
  },
  {
    weight: 2,
    arbitrary: of(
      'symlink',
      path.map((link) => ({ link })),
    ),
  },
  {
    weight: 4,
    arbitrary: of(
      'hardlink',
      fc.oneof(path, fc.constant('.wh..wh.plnk/1')).map((link) => ({ link })),
    ),
  },
  {
    weight: 1,
    arbitrary: of(
      'char',
      number.map(([major, minor]) => ({ major, minor })),
    ),
  },
  {
    weight: 1,
    arbitrary: of(
      'block',
      number.map(([major, minor]) => ({ major, minor })),
    ),
  },
  { weight: 1, arbitrary: of('fifo', fc.constant({})) },
  { weight: 1, arbitrary: of('socket', fc.constant({})) },
  {
    weight: 4,
    arbitrary: of(
      'file',
      marker.map(([parent, last]) => ({ path: parent + last })),
    ),
  },
  { weight: 1, arbitrary: of('directory', fc.constant({ path: '' })) },
)

function of(type: EntryType, rest: fc.Arbitrary<Partial<Entry>>): fc.Arbitrary<Entry> {
  return fc.tuple(path, metadata, rest).map(([at, facts, more]) => newEntry({ path: at, type, ...facts, ...more }))
}
