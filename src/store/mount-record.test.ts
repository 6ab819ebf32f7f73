import assert from 'node:assert/strict'
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { file } from '../../test/fixtures/images.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { stageImage, testMount } from '../../test/fixtures/store-image.ts'
import { type VerityDigest, parseVerityDigest } from '../digest.ts'
import { hasCode } from '../error.ts'
import {
  type MountRecord,
  formatMountRecord,
  mountPath,
  mountsPath,
  parseMountRecord,
  readMountRecord,
  readMountRecords,
} from './mount-record.ts'
import { imagePath } from './store-layout.ts'
import { type Store, openStore } from './store.ts'

const id = '0123456789ab'
const record: MountRecord = { ...testMount, id, image: parseVerityDigest('a'.repeat(64)) }

test('what is written is read back', () => {
  const fields = fc.record({
    name: fc.string(),
    target: fc.string({ unit: 'binary' }),
    ownsTarget: fc.boolean(),
    changes: fc.option(fc.string(), { nil: undefined }),
    ownsChanges: fc.boolean(),
    untouched: fc.option(fc.string(), { nil: undefined }),
    state: fc.constantFrom('mounted', 'unmounted', 'lazy'),
  })
  fc.assert(
    fc.property(fields, (some) => {
      const written = { ...record, ...some }
      assert.deepEqual(parseMountRecord(formatMountRecord(written), id), written)
    }),
  )
})

const good = Buffer.from(formatMountRecord(record)).toString()
/** Files that are no record, and not empty. */
const broken = [
  ['half a record', good.slice(0, 100)],
  ['zeros', '\0'.repeat(300)],
  ['no UTF-8', Buffer.from(good.replace('/target', '/\xff'), 'latin1')],
  ['a list', '[]'],
  ['null', 'null'],
  ['a newer version', good.replace('"version": 1', '"version": 2')],
  ['another id', good.replace(id, '0123456789ac')],
  ['an unknown state', good.replace('"mounted"', '"mountd"')],
  ['a number for a path', good.replace('"/target"', '7')],
  ['a digest that is none', good.replace('aaaa', '../a')],
  ['more than a megabyte', good + ' '.repeat(1024 * 1024)],
] as const

for (const [what, bytes] of broken)
  test(`refused: ${what}`, () => {
    assert.throws(
      () => parseMountRecord(Buffer.from(bytes), id),
      (error) => hasCode(error, 'CORRUPT') && error.hint?.includes(`mounts/${id}`) === true,
    )
  })

interface Case {
  readonly what: string
  /** Makes what lies in `mounts/`; `image` has no name any more. */
  readonly make: (store: Store, image: VerityDigest) => void
  /** Whether a collection spares the image, deletes it, or refuses to decide. */
  readonly gc: 'spares' | 'deletes' | 'refuses'
  /** State and text of what fsck finds before the collection. */
  readonly fsck?: readonly [state: string, problem: RegExp]
  readonly strays?: readonly string[]
}

const changed = { ownsChanges: true, changes: 'upper lies in the folder' }

function write(store: Store, bytes: string | Uint8Array, name = id): void {
  mkdirSync(mountPath(store.root, name), { recursive: true })
  writeFileSync(`${mountPath(store.root, name)}/mount.json`, bytes)
}

function keepChanges(store: Store, image: VerityDigest): void {
  write(store, formatMountRecord({ ...record, ...changed, image }))
  mkdirSync(`${mountPath(store.root, id)}/upper`)
}

const cases: readonly Case[] = [
  { what: 'no mounts at all', make: () => {}, gc: 'deletes' },
  { what: 'a folder of mounts with nothing in it', make: ({ root }) => mkdirSync(mountsPath(root)), gc: 'deletes' },
  {
    what: 'a mount that is just being made',
    make: ({ root }) => mkdirSync(mountPath(root, id), { recursive: true }),
    gc: 'deletes',
  },
  { what: 'an empty record, as a power cut leaves it', make: (store) => write(store, ''), gc: 'deletes' },
  {
    what: 'a mount without changes',
    make: (store, image) => write(store, formatMountRecord({ ...record, image })),
    gc: 'deletes',
  },
  { what: 'kept changes', make: keepChanges, gc: 'spares' },
  {
    what: 'kept changes that are gone',
    make: (store, image) => {
      keepChanges(store, image)
      rmSync(`${mountPath(store.root, id)}/upper`, { recursive: true })
    },
    gc: 'spares',
    fsck: ['untrue', /there is no folder "upper"/],
  },
  {
    what: 'changes in another place',
    make: (store, image) =>
      write(store, formatMountRecord({ ...record, changes: '/elsewhere', ownsChanges: false, image })),
    gc: 'spares',
  },
  {
    what: 'kept changes to an image that is lost',
    make: (store) => keepChanges(store, record.image),
    gc: 'deletes',
    fsck: ['untrue', /image a+, which the store does not have/],
  },
  {
    what: 'changes in another place to an image that is lost',
    make: (store) => write(store, formatMountRecord({ ...record, changes: '/elsewhere', ownsChanges: false })),
    gc: 'deletes',
    fsck: ['untrue', /image a+, which the store does not have/],
  },
  ...broken.map(([what, bytes]): Case => ({
    what: `a record that is ${what}`,
    make: (store) => write(store, bytes),
    gc: 'refuses',
    fsck: ['broken', /Cannot read the record of mount 0123456789ab: /],
  })),
  {
    what: 'a record that is a folder',
    make: ({ root }) => mkdirSync(`${mountPath(root, id)}/mount.json`, { recursive: true }),
    gc: 'refuses',
    fsck: ['broken', /is not a regular file/],
  },
  {
    what: 'a record that is a symlink to one',
    make: (store, image) => {
      keepChanges(store, image)
      const path = `${mountPath(store.root, id)}/mount.json`
      renameSync(path, `${dirname(store.root)}/elsewhere`)
      symlinkSync(`${dirname(store.root)}/elsewhere`, path)
    },
    gc: 'refuses',
    fsck: ['broken', /is not a regular file/],
  },
  {
    what: 'a folder that is a symlink to one',
    make: (store, image) => {
      keepChanges(store, image)
      renameSync(mountPath(store.root, id), `${dirname(store.root)}/elsewhere`)
      symlinkSync(`${dirname(store.root)}/elsewhere`, mountPath(store.root, id))
    },
    gc: 'refuses',
    fsck: ['broken', /it is not a folder/],
  },
  {
    what: 'a folder that is a file',
    make: ({ root }) => {
      mkdirSync(mountsPath(root))
      writeFileSync(mountPath(root, id), good)
    },
    gc: 'refuses',
    fsck: ['broken', /it is not a folder/],
  },
  {
    what: 'a folder of another name',
    make: (store, image) => write(store, formatMountRecord({ ...record, ...changed, image }), 'saved'),
    gc: 'deletes',
    strays: ['mounts/saved'],
  },
]

/** The digest of an image that nothing but a mount needs. */
async function addUnnamed(store: Store): Promise<VerityDigest> {
  await using transaction = await store.begin()
  const { images } = stageImage(transaction, { layers: [[file('a', Buffer.alloc(1000, 'a'))]], name: 'one' })
  await transaction.commit()
  await store.remove('one')
  return images.default ?? assert.fail('it has no image')
}

describe('mounting, garbage collection and fsck agree on', () => {
  for (const { what, make, gc, fsck, strays = [] } of cases)
    test(what, async () => {
      using place = scratch('mounts')
      await using store = await openStore(place.at('store'))
      const image = await addUnnamed(store)
      make(store, image)

      const report = await store.fsck()
      const [damage, ...others] = report.damage
      assert.deepEqual(others, [])
      const found = damage && [damage.kind, damage.name, damage.state]
      assert.deepEqual(found, fsck && ['mount', id, fsck[0]])
      assert.match(damage?.problem ?? '', fsck?.[1] ?? /^$/)
      assert.deepEqual(report.strays, strays)

      const isUnreadable = fsck?.[0] === 'broken'
      assert.equal(gc === 'refuses', isUnreadable)
      if (isUnreadable) assert.throws(() => readMountRecord(store.root, id), isDamage)
      else assert.doesNotThrow(() => readMountRecords(store.root))

      if (gc === 'refuses') await assert.rejects(store.gc(), isDamage)
      else assert.equal((await store.gc()).images.count, gc === 'deletes' ? 1 : 0)
      assert.equal(existsSync(imagePath(store.root, image)), gc !== 'deletes')
      assert.equal(store.recordsWith(image).length, gc === 'deletes' ? 0 : 1)
    })
})

/** Says what to do about it. */
function isDamage(error: unknown): boolean {
  return hasCode(error, 'CORRUPT') && error.hint?.includes(`delete mounts/${id}`) === true
}
