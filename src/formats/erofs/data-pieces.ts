import type { ImageBytes } from './image-bytes.ts'

/** The most bytes that a piece of data has. */
const pieceSize = 1 << 20

/** A stretch of the image in pieces. */
export function* piecesOf({ buffer }: ImageBytes, from: number, to: number): Generator<Uint8Array> {
  for (let at = from; at < to; at += pieceSize) yield buffer.subarray(at, Math.min(at + pieceSize, to))
}

/** A hole in pieces, all of them the same memory. */
export function* zeros(length: number): Generator<Uint8Array> {
  const block = new Uint8Array(Math.min(length, pieceSize))
  for (let left = length; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block
}
