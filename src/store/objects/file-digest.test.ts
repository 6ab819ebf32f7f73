import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { describe, test } from 'node:test'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { fileDigest } from './file-digest.ts'
import { hashGroups } from './group-digest.ts'

const group = 512 * 1024

/** Mostly holes: so many bytes, with something to tell each group from the others. */
function write(path: string, size: number): string {
  const fd = openSync(path, 'w')
  try {
    for (let at = 0; at < size; at += group) writeSync(fd, Buffer.from(`group at ${at}`), 0, undefined, at)
    ftruncateSync(fd, size)
  } finally {
    closeSync(fd)
  }
  return path
}

describe('the digest of a file', () => {
  test('is the same from one thread and from several', async () => {
    using folder = scratch('digest')
    for (const size of [64 << 20, (64 << 20) + 1, (80 << 20) - 1, 100, 0]) {
      const path = write(`${folder.path}/file`, size)
      const want = verityDigest(readFileSync(path))
      assert.equal(await fileDigest(path, 1), want)
      assert.equal(await fileDigest(path, 3), want)
    }
  })

  test('of none, and of what is no file', async () => {
    using folder = scratch('digest')
    assert.equal(await fileDigest(`${folder.path}/none`), undefined)
    mkdirSync(`${folder.path}/folder`)
    await assert.rejects(fileDigest(`${folder.path}/folder`), { code: 'CORRUPT' })
  })

  test('is refused when the file ends before the group it was to have', () => {
    using folder = scratch('digest')
    const fd = openSync(write(`${folder.path}/file`, 3 * group), 'r')
    try {
      const hashes = new SharedArrayBuffer(32 * 4)
      assert.throws(() => hashGroups({ fd, groups: 4, next: new SharedArrayBuffer(4), hashes }), RangeError)
    } finally {
      closeSync(fd)
    }
  })
})
