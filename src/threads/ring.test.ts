import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Ring, RingAborted, ringMemory } from './ring.ts'

const bytes = 100_000

/** A thread that publishes `bytes` numbered bytes in pieces of odd sizes. */
const producer = `
  const { workerData } = require('node:worker_threads')
  import(workerData.module).then(({ Ring }) => {
    const ring = new Ring(workerData.memory)
    for (let at = 0; at < ${bytes}; ) {
      const slot = ring.claim()
      const length = Math.min(slot.length, 1 + (at % 61), ${bytes} - at)
      for (let i = 0; i < length; i++) slot[i] = at + i
      ring.publish(length)
      at += length
    }
    ring.end('done')
  })`

test('every byte arrives once, in order, from another thread', async () => {
  const memory = ringMemory(3, 64)
  const ring = new Ring(memory)
  const worker = new Worker(producer, {
    eval: true,
    workerData: { memory, module: new URL('./ring.ts', import.meta.url).href },
  })
  let at = 0
  for (let piece = ring.take(); piece !== undefined; piece = ring.take()) {
    for (const byte of piece) assert.equal(byte, at++ & 255)
    ring.release()
  }
  assert.equal(at, bytes)
  await worker.terminate()
})

test('claimAsync() waits for room without blocking', async () => {
  const ring = new Ring(ringMemory(1, 4))
  ring.claim()
  ring.publish(4)
  const claimed = ring.claimAsync()
  ring.take()
  ring.release()
  assert.equal((await claimed).length, 4)
})

test('giving up ends both sides, also one that waits', async () => {
  const ring = new Ring(ringMemory(1, 4))
  ring.publish(ring.claim().length)
  const waiting = assert.rejects(ring.claimAsync(), RingAborted)
  ring.end('aborted')
  await waiting
  assert.throws(() => ring.take(), RingAborted)
  ring.reset()
  assert.equal(ring.claim().length, 4)
})
