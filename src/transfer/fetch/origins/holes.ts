import { pieceMax } from '../../../content/arena.ts'
import type { Origin } from './origin.ts'

const zeros = new Uint8Array(pieceMax)

/** Origin of extents that are all zeros, and lie nowhere. */
export const holes: Origin<true> = {
  counts: 'zeroBytes',
  isShared: false,
  find: ({ unit }) => (unit === undefined ? true : undefined),
  open: () => ({
    deliver({ length }, _, sink) {
      for (let done = 0; done < length; done += pieceMax)
        sink.write(zeros.subarray(0, Math.min(pieceMax, length - done)))
    },
    [Symbol.dispose]() {},
  }),
}
