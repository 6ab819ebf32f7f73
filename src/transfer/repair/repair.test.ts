import assert from 'node:assert/strict'
import {
  chmodSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { LayoutBuilder, directory, file, symlink } from '../../../test/fixtures/images.ts'
import { needsRegistry, noise, startRegistry } from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { parsePlatform } from '../../formats/oci/platform.ts'
import { readErofs } from '../../formats/composefs/read-image.ts'
import { type Directory, inodeOf, isDirectory } from '../../formats/tree.ts'
import { openSource } from '../../sources/open-source.ts'
import { type Damage, type Store, openDamagedStore, openStore } from '../../store/store.ts'
import { pull } from '../pull/pull.ts'
import { repairStore } from './repair.ts'

/** Files whose loss costs time only, and the frame without which a store cannot be opened at all. */
const noData = /^(?:index\.db|checked\.json|missing|lock|store\.json)$/

/** Of each property; a long form is ONEFOLD_REPAIR_RUNS=200. */
const runs = Number(process.env['ONEFOLD_REPAIR_RUNS'] ?? 5)

function makeLayout(folder: string): void {
  const layout = new LayoutBuilder(folder)
  const base = [
    directory('bin'),
    file('bin/sh', noise(200_000)),
    file('bin/true', noise(70, 2)),
    symlink('sh', 'bin/sh'),
  ]
  const shared = [directory('lib'), file('lib/a', noise(5000, 3)), file('lib/b', noise(9000, 4))]
  const one = layout.image({ layers: [base, shared, [file('one', noise(700, 5)), file('again', noise(9000, 4))]] })
  const two = layout.image({ layers: [base, [file('bin/true', noise(300, 6))]], compress: 'zstd' })
  const arm = layout.image({ layers: [shared, [file('arm', noise(100, 7))]], platform: parsePlatform('linux/arm64') })
  layout.tag(one.manifest, 'one')
  layout.tag(layout.index(two.manifest, arm.manifest), 'both')
  layout.tag(layout.index(one.manifest, arm.manifest), 'part')
}

async function fill(store: Store, names: Readonly<Record<'one' | 'both' | 'part', string>>): Promise<void> {
  for (const [kind, name] of Object.entries(names)) {
    await using source = await openSource(name, { registry: { insecure: true } })
    await pull(store, source, { allPlatforms: kind === 'both', platform: parsePlatform('linux/amd64') })
  }
}

function filesOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(root, name)).isFile() && !noData.test(name))
    .toSorted()
}

interface Hit {
  readonly file: number
  readonly kind: 'flip' | 'zero' | 'cut' | 'remove'
  readonly at: number
  readonly length: number
}

const hits: fc.Arbitrary<Hit[]> = fc.array(
  fc.record({
    file: fc.nat(1000),
    kind: fc.constantFrom('flip', 'zero', 'cut', 'remove'),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.constantFrom(1, 20, 512, 4096),
  }),
  { minLength: 1, maxLength: 6 },
)

/** What a disk that lost sectors does to files. Returns those that are not what they were. */
function strike(root: string, pristine: string, damage: readonly Hit[]): string[] {
  const files = filesOf(root)
  const struck = new Set(damage.map((hit) => files[hit.file % files.length] ?? ''))
  for (const hit of damage) strikeOne(join(root, files[hit.file % files.length] ?? ''), hit)
  const before = (name: string): Buffer => readFileSync(join(pristine, name))
  const now = (name: string): Buffer | undefined => {
    const there = filesOf(root).includes(name)
    return there ? readFileSync(join(root, name)) : undefined
  }
  return [...struck].filter((name) => now(name)?.equals(before(name)) !== true).toSorted()
}

function strikeOne(path: string, { kind, at, length }: Hit): void {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch {
    return
  }
  const mode = statSync(path).mode & 0o777
  const start = Math.floor(at * bytes.length)
  rmSync(path)
  // A lost folder entry is noticed where something needs the file; a name, or a platform, that is gone is just not there.
  if (kind === 'remove' && /\/(?:objects|layers|blobs)\//.test(path)) return
  if (kind === 'cut') bytes = bytes.subarray(0, start)
  for (let i = start; i < Math.min(bytes.length, start + length); i++) bytes[i] = kind === 'zero' ? 0 : bytes[i]! ^ 0x55
  writeFileSync(path, bytes, { mode })
}

/** Every name with the platforms below it, and the bytes of each image. */
function contents(store: Store): object[] {
  return store
    .list()
    .map(({ name, top, record, imageDigest }) => ({
      name,
      top: top.digest,
      manifest: record.manifest.digest,
      image: imageDigest,
      tars: record.layers.map(({ recipe }) =>
        [...store.rebuildTar(recipe)].reduce((sum, { length }) => sum + length, 0),
      ),
    }))
    .toSorted((a, b) => (a.name + a.manifest < b.name + b.manifest ? -1 : 1))
}

describe('a store that lost arbitrary parts of arbitrary files', () => {
  const place = scratch('repair')
  const pristine = place.at('pristine')
  const isIndex = (name: string): boolean =>
    name.startsWith('blobs/') && readFileSync(join(pristine, name), 'latin1').includes('"manifests"')
  let whole: object[] = []

  before(async () => {
    makeLayout(place.at('layout'))
    const name = (tag: string): string => `oci:${place.at('layout')}:${tag}`
    await using store = await openStore(pristine)
    await fill(store, { one: name('one'), both: name('both'), part: name('part') })
    whole = contents(store)
  })
  after(() => place[Symbol.dispose]())

  async function struck<T>(damage: readonly Hit[], then: (store: Store, changed: string[]) => Promise<T>): Promise<T> {
    const root = place.at('struck')
    rmSync(root, { recursive: true, force: true })
    cpSync(pristine, root, { recursive: true, preserveTimestamps: true })
    const changed = strike(root, pristine, damage)
    await using store = await openDamagedStore(root)
    return await then(store, changed)
  }

  test('is as before, when its origins are there', async () => {
    await fc.assert(
      fc.asyncProperty(hits, (damage) =>
        struck(damage, async (store, changed) => {
          // With both gone, nothing tells which platforms there were, or that an index was above the image.
          fc.pre(!(hasAny(changed, 'refs/') && (hasAny(changed, 'records/') || changed.some(isIndex))))
          const report = await repairStore(store)
          assert.deepEqual(report.left, [], JSON.stringify([changed, report.failures]))
          assert.deepEqual(contents(store), whole)
          const after = await store.fsck({ rebuild: true })
          assert.deepEqual(after.damage, [])
        }),
      ),
      { numRuns: runs, endOnFailure: true },
    )
  })

  test('lists exactly what is gone, when they are not', async () => {
    renameSync(place.at('layout'), place.at('away'))
    try {
      await fc.assert(
        fc.asyncProperty(hits, (damage) =>
          struck(damage, async (store, changed) => {
            const { damage: found } = await store.fsck({ dryRun: true })
            // That a file is missing is known where whatever names it is whole; and composefs images are a cache.
            const gone = changed.filter((name) => existsSync(join(store.root, name)) || isMissed(name, changed))
            assert.deepEqual(
              gone.filter((name) => !found.some((each) => each.file === name)),
              [],
            )
            for (const each of found) assert.ok(changed.includes(each.file) || isConsequence(each, changed), each.file)
            for (const each of found) if (each.kind === 'object') assertPaths(each, pristine, changed)
            const { left } = await repairStore(store)
            const again = (await store.fsck()).damage
            assert.deepEqual(again.map(keyOf), left.map(keyOf))
          }),
        ),
        { numRuns: runs, endOnFailure: true },
      )
    } finally {
      renameSync(place.at('away'), place.at('layout'))
    }
  })
})

function isMissed(name: string, changed: readonly string[]): boolean {
  return !name.startsWith('images/') && !changed.some((each) => each !== name && /^(?:records|refs|blobs)\//.test(each))
}

function hasAny(names: readonly string[], folder: string): boolean {
  return names.some((name) => name.startsWith(folder))
}

function keyOf({ kind, name, problem }: Damage): string {
  return `${kind} ${name}: ${problem}`
}

/** A name that leads to nothing any more. */
function isConsequence({ kind, state }: Damage, changed: readonly string[]): boolean {
  return kind === 'ref' && state === 'untrue' && changed.some((name) => /^(?:records|blobs)\//.test(name))
}

/** By the image as it was: every path that has the object, unless nothing is left to know it by. */
function assertPaths({ name, affected }: Damage, pristine: string, changed: readonly string[]): void {
  for (const { paths, manifest } of affected) {
    const record = JSON.parse(readFileSync(join(pristine, 'records', manifest), 'utf8')) as {
      images: { default: string }
    }
    const image = `images/${record.images.default}.erofs`
    if (changed.includes(image) && changed.some((each) => each.startsWith('layers/'))) continue
    assert.deepEqual([...paths].toSorted(), pathsOf(readErofs(readFileSync(join(pristine, image))), name))
  }
}

function pathsOf(root: Directory, object: string, prefix = ''): string[] {
  return [...root.children]
    .flatMap(([name, child]) => {
      const inode = inodeOf(child)
      if (isDirectory(inode)) return pathsOf(inode, object, `${prefix}/${name}`)
      return inode.content.kind === 'object' && inode.content.digest === object ? [`${prefix}/${name}`] : []
    })
    .toSorted()
}

test('is repaired from a registry, layer by layer', { skip: needsRegistry }, async () => {
  using place = scratch('repair')
  makeLayout(place.at('layout'))
  await using registry = await startRegistry(place.at('registry'))
  const names = { one: 'one:1', both: 'both:1', part: 'part:1' }
  for (const [tag, name] of Object.entries(names)) await registry.push(`oci:${place.at('layout')}:${tag}`, name)
  const at = (name: string): string => `${registry.host}/${name}`
  await using store = await openStore(place.at('store'))
  await fill(store, { one: at(names.one), both: at(names.both), part: at(names.part) })
  const whole = contents(store)
  const layers = readdirSync(place.at('store/layers'))
  for (const [count, folder] of [
    [3, 'objects'],
    [1, 'layers'],
    [1, 'blobs/sha256'],
    [1, 'records'],
    [2, 'images'],
  ] as const) {
    const files = filesOf(place.at('store', folder))
    for (const name of files.slice(0, count))
      strikeOne(place.at('store', folder, name), { file: 0, kind: 'flip', at: 0.5, length: 20 })
  }
  const report = await repairStore(store, { source: { registry: { insecure: true } } })
  assert.deepEqual([report.left, report.failures], [[], []])
  assert.ok(report.found.length >= 7)
  assert.deepEqual(contents(store), whole)
  assert.deepEqual(readdirSync(place.at('store/layers')), layers)
  assert.ok((await store.fsck({ rebuild: true })).clean)
})

test('a pull mends what fsck found missing', async () => {
  using place = scratch('repair')
  makeLayout(place.at('layout'))
  const name = `oci:${place.at('layout')}:one`
  await using store = await openStore(place.at('store'))
  await using source = await openSource(name)
  const options = { platform: parsePlatform('linux/amd64') }
  await pull(store, source, options)
  for (const folder of ['objects', 'layers', 'images']) {
    const [victim = ''] = filesOf(place.at('store', folder))
    strikeOne(place.at('store', folder, victim), { file: 0, kind: 'flip', at: 0.5, length: 1 })
    assert.equal((await store.fsck()).clean, false)
    await pull(store, source, options)
    assert.ok((await store.fsck({ rebuild: true })).clean, folder)
  }
  assert.equal((await pull(store, source, options)).stats.layersPulled, 0)
})

test('modes are mended where they are', async () => {
  using place = scratch('repair')
  makeLayout(place.at('layout'))
  await using store = await openStore(place.at('store'))
  await using source = await openSource(`oci:${place.at('layout')}:one`)
  await pull(store, source, { platform: parsePlatform('linux/amd64') })
  const [object = ''] = filesOf(place.at('store/objects'))
  chmodSync(place.at('store/objects', object), 0o666)
  chmodSync(place.at('store/layers'), 0o777)
  rmSync(place.at('layout'), { recursive: true })
  const { found, left } = await repairStore(store)
  assert.deepEqual([found.map(({ state }) => state), left], [['exposed', 'exposed'], []])
})

test('records and refs without a sum are written again, with what they say', async () => {
  using place = scratch('repair')
  makeLayout(place.at('layout'))
  await using store = await openStore(place.at('store'))
  await using source = await openSource(`oci:${place.at('layout')}:both`)
  await pull(store, source, { allPlatforms: true, name: 'both' })
  const whole = contents(store)
  for (const folder of ['records', 'refs'])
    for (const name of filesOf(place.at('store', folder))) {
      const path = place.at('store', folder, name)
      writeFileSync(path, readFileSync(path, 'utf8').replace(/,\n {2}"sum": "[^"]*"/, ''))
    }
  rmSync(place.at('layout'), { recursive: true })
  const { found, left, failures } = await repairStore(store)
  assert.deepEqual([found.map(({ kind }) => kind).toSorted(), left, failures], [['record', 'record', 'ref'], [], []])
  assert.deepEqual(contents(store), whole)
})
