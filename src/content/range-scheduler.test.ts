import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from '../digest.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import { type BlobRange, RangeScheduler } from './range-scheduler.ts'

const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251)
const blob: Descriptor = { mediaType: 'x', digest: digestOf(bytes), size: bytes.length }
const other: Descriptor = { ...blob, digest: digestOf('other') }

function ranges(count: number, of = blob, length = 100): BlobRange[] {
  return Array.from({ length: count }, (_, i) => ({ blob: of, start: i * 2 * length, end: i * 2 * length + length }))
}

/** Notes what is asked for, and answers at once. */
function recording(planned: readonly BlobRange[]) {
  const asked: [start: number, end: number][] = []
  const scheduler = new RangeScheduler(planned, {
    async *read({ start, end }) {
      asked.push([start, end])
      yield bytes.subarray(start, end)
    },
    signal: undefined,
  })
  return { asked, scheduler }
}

describe('planned ranges', () => {
  test('are asked for in their order, a few ahead, and each once', async () => {
    const planned = ranges(12)
    const { asked, scheduler } = recording(planned)
    using _ = scheduler
    const first = await scheduler.fetch(blob, 0, 100)
    assert.deepEqual([first.start, Buffer.from(first.bytes)], [0, Buffer.from(bytes.subarray(0, 100))])
    assert.equal(asked.length, 9)
    for (const { start, end } of planned.slice(1)) assert.equal((await scheduler.fetch(blob, start, end)).start, start)
    assert.deepEqual(
      asked,
      planned.map(({ start, end }) => [start, end]),
    )
  })

  test('serve whoever wants a byte within them', async () => {
    const { asked, scheduler } = recording(ranges(1))
    using _ = scheduler
    assert.deepEqual(await scheduler.fetch(blob, 50, 60), { start: 0, bytes: bytes.slice(0, 100) })
    assert.deepEqual(asked, [[0, 100]])
  })

  test('are not missed when others are wanted: those are asked for when they are', async () => {
    const { asked, scheduler } = recording(ranges(2))
    using _ = scheduler
    assert.equal((await scheduler.fetch(blob, 150, 180)).bytes.length, 30)
    assert.deepEqual(asked, [[150, 180]])
    await scheduler.fetch(blob, 0, 100)
    // Taken before, it is asked for again.
    await scheduler.fetch(blob, 0, 100)
    assert.deepEqual(asked.slice(1), [
      [0, 100],
      [200, 300],
      [0, 100],
    ])
  })

  test('of one blob are dropped alone', async () => {
    const { asked, scheduler } = recording([...ranges(3), ...ranges(2, other)])
    using _ = scheduler
    scheduler.drop(blob)
    await scheduler.fetch(other, 0, 100)
    assert.equal(asked.length, 2)
  })
})

test('a failure is told to who waits for it, and to nobody else', async () => {
  using scheduler = new RangeScheduler(ranges(3), {
    async *read({ start }) {
      if (start > 0) throw new Error(`no bytes from ${start}`)
      yield bytes.subarray(0, 100)
    },
    signal: undefined,
  })
  await scheduler.fetch(blob, 0, 100)
  await assert.rejects(scheduler.fetch(blob, 200, 300), /no bytes from 200/)
})

test('a signal, or the end, stops what is under way', async () => {
  const aborted: unknown[] = []
  const stop = new AbortController()
  const scheduler = new RangeScheduler(ranges(2), {
    async *read(_, signal) {
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted.push(signal.reason)
          reject(signal.reason)
        })
      })
      yield bytes
    },
    signal: stop.signal,
  })
  const waiting = assert.rejects(scheduler.fetch(blob, 0, 100), /stop/)
  stop.abort(new Error('stop'))
  await waiting
  assert.equal(aborted.length, 2)
  scheduler[Symbol.dispose]()
})
