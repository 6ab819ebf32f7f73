import { writeSync } from 'node:fs'
import { Worker, isMainThread, workerData } from 'node:worker_threads'

/** A parser that never returns blocks its thread, so another one has to say so: state is seed and count of batches. */
const patienceMs = 60_000

export interface Watch extends Disposable {
  /** A batch begins. */
  batch(seed: number): void
}

export function watchOver(name: string): Watch {
  const state = new Int32Array(new SharedArrayBuffer(8))
  const worker = new Worker(new URL(import.meta.url), { workerData: { name, state } })
  worker.unref()
  return {
    batch(seed) {
      Atomics.store(state, 0, seed)
      Atomics.add(state, 1, 1)
    },
    [Symbol.dispose]: () => void worker.terminate(),
  }
}

if (!isMainThread) {
  const { name, state } = workerData as { name: string; state: Int32Array }
  let since = performance.now()
  let seen = 0
  setInterval(() => {
    const count = Atomics.load(state, 1)
    if (count !== seen) [seen, since] = [count, performance.now()]
    else if (performance.now() - since > patienceMs) {
      writeSync(2, `\n${name}: no end for a minute, in seed ${Atomics.load(state, 0)}\n`)
      since = performance.now()
    }
  }, 1000)
}
