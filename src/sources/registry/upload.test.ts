import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { failure } from '../../../test/servers/faulty-registry.ts'
import { noise } from '../../../test/servers/registry.ts'
import { type UploadHabits, type UploadRegistry, startUploadRegistry } from '../../../test/servers/upload-registry.ts'
import { digestOf } from '../../digest.ts'
import { parseReference } from './reference.ts'
import { WritableRepository } from './writable-repository.ts'

const bytes = noise(1_200_000)
const blob = { digest: digestOf(bytes), size: bytes.length }
const large = noise(40 * 1024 * 1024)

async function withTarget(
  habits: UploadHabits,
  use: (target: WritableRepository, registry: UploadRegistry, slept: number[]) => Promise<void>,
): Promise<void> {
  await using registry = await startUploadRegistry(habits)
  const slept: number[] = []
  const sleep = (milliseconds: number): Promise<void> => Promise.resolve(void slept.push(milliseconds))
  await using target = new WritableRepository(parseReference(`${registry.host}/app:x`), {
    env: { HOME: '/nonexistent' },
    retry: { sleep, jitter: () => 1 },
    stallTimeout: 10_000,
  })
  await use(target, registry, slept)
}

/** In pieces as a file gives them. */
function upload(target: WritableRepository, all: Buffer): Promise<void> {
  return target.uploadBlob({ digest: digestOf(all), size: all.length }, async function* (offset, length) {
    for (let at = 0; at < length; at += 65_536)
      yield Buffer.from(all.subarray(offset + at, offset + Math.min(length, at + 65_536)))
  })
}

const whole = bytes.length
const chunk = 16 * 1024 * 1024
const rest = large.length - 2 * chunk

suite('an upload', () => {
  const cases: readonly [name: string, habits: UploadHabits, all: Buffer, log: string[]][] = [
    ['goes in one piece', {}, bytes, ['POST', `PUT ${whole}`]],
    [
      'goes on where it broke off',
      { breaks: [500_000] },
      bytes,
      ['POST', `PUT ${whole}`, 'GET 0', `PATCH ${whole - 500_000}`, 'PUT 0'],
    ],
    [
      'goes on several times',
      { breaks: [500_000, 100_000] },
      bytes,
      ['POST', `PUT ${whole}`, 'GET 0', `PATCH ${whole - 500_000}`, 'GET 0', `PATCH ${whole - 600_000}`, 'PUT 0'],
    ],
    [
      'starts again when the session is lost, and in chunks when it breaks twice',
      { breaks: [500_000, 500_000], forgets: true },
      bytes,
      ['POST', `PUT ${whole}`, 'GET 0', 'POST', `PUT ${whole}`, 'GET 0', 'POST', `PATCH ${whole}`, 'PUT 0'],
    ],
    [
      'goes in chunks where a whole one is too large',
      { wholeRefused: 413 },
      large,
      ['POST', `PUT ${large.length}`, 'POST', `PATCH ${chunk}`, `PATCH ${chunk}`, `PATCH ${rest}`, 'PUT 0'],
    ],
    [
      'goes in one piece where chunks are refused',
      { chunkRefused: 405, breaks: [500_000] },
      bytes,
      ['POST', `PUT ${whole}`, 'GET 0', `PATCH ${whole - 500_000}`, 'POST', `PUT ${whole}`],
    ],
  ]
  for (const [name, habits, all, log] of cases)
    test(name, () =>
      withTarget(habits, async (target, registry) => {
        await upload(target, all)
        assert.deepEqual(registry.log, log)
        assert.ok(registry.blobs.get(digestOf(all))?.equals(all))
      }),
    )

  test('ends when both ways are refused', () =>
    withTarget({ wholeRefused: 413, chunkRefused: 501 }, async (target, registry) => {
      const { code, message } = await failure(upload(target, bytes))
      assert.equal(code, 'NETWORK')
      assert.match(message, new RegExp(`^Cannot upload blob ${blob.digest} to ${registry.host}/app: .* answers 501`))
    }))

  test('ends when it never gets anywhere', () =>
    withTarget({ breaks: Array.from({ length: 100 }, () => 1000), forgets: true }, async (target, _, slept) => {
      assert.equal((await failure(upload(target, bytes))).code, 'NETWORK')
      assert.equal(slept.length, 7)
    }))

  test('passes on what its reader throws', () =>
    withTarget({}, async (target) => {
      const broken = target.uploadBlob(blob, async function* () {
        yield bytes.subarray(0, 1000)
        throw new Error('the disk is gone')
      })
      await assert.rejects(broken, { message: 'the disk is gone' })
    }))

  test('stops when it is told to', () =>
    withTarget({}, async (target) => {
      const controller = new AbortController()
      const { signal } = controller
      const stopped = target.uploadBlob(
        blob,
        async function* () {
          yield bytes.subarray(0, 1000)
          controller.abort()
          yield bytes.subarray(1000)
        },
        { signal },
      )
      await assert.rejects(stopped, { name: 'AbortError' })
    }))
})

suite('what a registry has', () => {
  for (const headRefused of [false, true])
    test(`is asked ${headRefused ? 'by GET where HEAD is refused' : 'by HEAD'}`, () =>
      withTarget({ headRefused }, async (target) => {
        assert.equal(await target.hasBlob(blob), false)
        await upload(target, bytes)
        assert.equal(await target.hasBlob(blob), true)
        assert.equal(await target.hasBlob({ ...blob, size: 5 }), false)
      }))

  test('comes from another repository where it may', () =>
    withTarget({ mounts: (_, from) => from === 'other' }, async (target, registry) => {
      assert.equal(await target.mountBlob(blob, 'other'), true)
      assert.equal(await target.mountBlob(blob, 'third'), false)
      assert.deepEqual(registry.log.slice(-3), ['POST mount', 'POST mount', 'DELETE 0'])
    }))
})
