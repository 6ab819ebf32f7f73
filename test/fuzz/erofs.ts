import assert from 'node:assert/strict'
import fc from 'fast-check'
import { OnefoldError } from '../../src/error.ts'
import { visitImageObjects } from '../../src/formats/composefs/image-objects.ts'
import { readErofs } from '../../src/formats/composefs/read-image.ts'
import { openErofs } from '../../src/formats/composefs/image-view.ts'
import { writeErofs } from '../../src/formats/composefs/write-image.ts'
import { type Directory, isDirectory, isHardLink } from '../../src/formats/tree.ts'
import { randomTree } from '../fixtures/random-tree.ts'

/**
 * Images of random trees with bytes, words and whole stretches changed: a tree no larger than the image, or an OnefoldError. A tree
 * that was read can be written, and gives the tree again.
 */
export function fuzzErofs(seed: number, rounds: number): void {
  const damage = fc.array(edit, { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(randomTree({ ambiguous: true }), damage, fc.boolean(), (tree, edits, plain) => {
      const { bytes } = writeErofs(tree)
      const image = Buffer.from(bytes)
      for (const each of edits) apply(image, each)
      if (plain) image.writeUInt32LE(0, 0)
      check(image)
    }),
    { seed, numRuns: rounds },
  )
}

function check(image: Buffer): void {
  const tree = attempt(() => readErofs(image))
  attempt(() => walkView(image))
  attempt(() => visitImageObjects(image, () => {}))
  if (tree === undefined) return
  assert.ok(countNames(tree) * 12 <= image.length, 'more names than the image can hold')
  const again = attempt(() => writeErofs(tree))
  if (again !== undefined) readErofs(again.bytes)
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
    assert.ok(['BAD_FORMAT', 'UNSUPPORTED', 'LIMIT'].includes(error.code), error.code)
    return undefined
  }
}

/** Files one by one, without the whole reader's protection against cycles: to a small depth. */
function walkView(image: Buffer): void {
  const view = openErofs(image)
  for (const [name] of view.list(view.root).slice(0, 50)) view.lookup(`${name}/../${name}`)
  let files = [view.root]
  for (let depth = 0; depth < 3; depth++) {
    files = files
      .slice(0, 50)
      .filter((info) => (info.mode & 0o170000) === 0o040000)
      .flatMap((info) => view.list(info).map(([, child]) => child))
    for (const info of files.slice(0, 50)) for (const piece of view.data(info)) if (piece.length > 1 << 16) break
  }
}

function countNames(root: Directory): number {
  let names = 0
  const pending = [root]
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    for (const child of next.children.values()) {
      names++
      if (!isHardLink(child) && isDirectory(child)) pending.push(child)
    }
  return names
}

type Edit = readonly [kind: 'byte' | 'word' | 'copy' | 'zero', at: number, value: number]

/** Most of an image are its first blocks: superblock, root, inodes. */
const edit: fc.Arbitrary<Edit> = fc.tuple(
  fc.constantFrom('byte' as const, 'word' as const, 'copy' as const, 'zero' as const),
  fc.oneof(fc.integer({ min: 1024, max: 1152 }), fc.integer({ min: 1152, max: 3000 }), fc.nat(200_000)),
  fc.oneof(fc.constantFrom(0, 1, 0xff, 0xffff, 0xffffffff, 0x7fffffff), fc.nat(5000)),
)

function apply(image: Buffer, [kind, where, value]: Edit): void {
  const at = where % (image.length - 64)
  switch (kind) {
    case 'byte':
      image[at] = value & 0xff
      break
    case 'word':
      image.writeUInt32LE(value >>> 0, at - (at % 4))
      break
    case 'copy':
      image.copy(image, at, value % (image.length - 64), (value % (image.length - 64)) + 64)
      break
    case 'zero':
      image.fill(0, at, at + (value % 64))
  }
}
