import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import type { FileToCheck, FilesJob } from './examine.ts'
import { Pool } from './fsck-pool.ts'

/** More than are done before threads are started. */
const jobs = 40

function jobOf(files: readonly FileToCheck[]): FilesJob {
  return { kind: 'files', files, uid: process.getuid?.() ?? 0, sealed: false }
}

function fileAt(path: string, content: string): FileToCheck {
  writeFileSync(path, content, { mode: 0o444 })
  return { path, digest: verityDigest(Buffer.from(content)), since: 0 }
}

describe('the threads of a check', () => {
  test('answer every job, to the one who gave it', async () => {
    using place = scratch('fsck-pool')
    await using pool = new Pool(undefined)
    const sizes = new Map<number, readonly number[]>()
    for (let i = 0; i < jobs; i++)
      await pool.give(jobOf([fileAt(place.at(`f${i}`), 'x'.repeat(i))]), (answer) => sizes.set(i, answer.sizes))
    await pool.finish()
    assert.deepEqual(
      [...sizes].toSorted(([a], [b]) => a - b),
      Array.from({ length: jobs }, (_, i) => [i, [i]]),
    )
  })

  test('pass on what goes wrong with a job, as it was told', async () => {
    await using pool = new Pool(undefined)
    const give = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) await pool.give(jobOf([]), () => {})
      await pool.give(jobOf([{ path: 'no\0path', digest: verityDigest(Buffer.from('x')), since: 0 }]), () => {})
      await pool.finish()
    }
    await assert.rejects(give(), { name: 'OnefoldError', code: 'IO', message: /no\0path/ })
  })

  test('pass on what goes wrong with an answer', async () => {
    await using pool = new Pool(undefined)
    const give = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) await pool.give(jobOf([]), () => {})
      await pool.give(jobOf([]), () => {
        throw new Error('nobody wants it')
      })
      await pool.finish()
    }
    await assert.rejects(give(), /nobody wants it/)
  })

  test('stop when they are told to', async () => {
    using place = scratch('fsck-pool')
    const controller = new AbortController()
    await using pool = new Pool(controller.signal)
    const file = fileAt(place.at('f'), 'content')
    for (let i = 0; i < 6; i++) await pool.give(jobOf([file]), () => {})
    controller.abort()
    await assert.rejects(pool.finish(), { name: 'AbortError' })
    await assert.rejects(
      pool.give(jobOf([file]), () => {}),
      { name: 'AbortError' },
    )
  })
})
