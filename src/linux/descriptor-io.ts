import { readSync, writeSync } from 'node:fs'
import { errnoOf } from '../error.ts'

/** All the bytes that a descriptor gives, in pieces that are good until the next one. */
export function* readPieces(fd: number): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (;;) {
    const length = untilReady(() => readSync(fd, buffer))
    if (length === 0) return
    yield buffer.subarray(0, length)
  }
}

/** Writes all of the bytes: write(2) may take fewer than it is given. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += untilReady(() => writeSync(fd, bytes, done))
}

/** Waits for a pipe that was set not to block, which is up to whoever has its other end. */
function untilReady(action: () => number): number {
  for (;;) {
    try {
      return action()
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
