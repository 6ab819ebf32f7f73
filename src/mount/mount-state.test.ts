import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseVerityDigest } from '../digest.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { type MountRecord, readMountRecord, readMountRecords } from '../store/mount-record.ts'
import { lockMounts, makeMountFolder, removeMountFolder, writeMountRecord } from './mount-state.ts'

const record: MountRecord = {
  id: '0123456789ab',
  image: parseVerityDigest('a'.repeat(64)),
  name: 'name',
  target: '/target',
  ownsTarget: true,
  changes: undefined,
  ownsChanges: true,
  untouched: undefined,
  state: 'mounted',
  boot: 'boot',
  namespace: 'mnt:[1]',
}

test('what is written is read back', () => {
  using folder = scratch('state')
  const store = { root: folder.path, objectsPath: folder.path, verity: 'auto' as const, imagePath: () => '' }
  using _lock = lockMounts(store, 'shared')
  assert.deepEqual(readMountRecords(store.root), [])
  makeMountFolder(store, record.id)
  assert.equal(readMountRecord(store.root, record.id), undefined)
  fc.assert(
    fc.property(
      fc.record({
        name: fc.string(),
        target: fc.string({ unit: 'binary' }),
        ownsTarget: fc.boolean(),
        changes: fc.option(fc.string(), { nil: undefined }),
        untouched: fc.option(fc.string(), { nil: undefined }),
        state: fc.constantFrom('mounted', 'unmounted', 'lazy'),
      }),
      (fields) => {
        const written = { ...record, ...fields }
        writeMountRecord(store, { ...written, untouched: undefined })
        assert.deepEqual(readMountRecords(store.root), [{ ...written, untouched: undefined }])
      },
    ),
    { numRuns: 50 },
  )
  writeMountRecord(store, { ...record, untouched: 'x' })
  assert.deepEqual(readMountRecord(store.root, record.id), { ...record, untouched: 'x' })
  removeMountFolder(store, record.id)
  assert.deepEqual(readMountRecords(store.root), [])
})
