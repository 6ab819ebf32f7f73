import assert from 'node:assert/strict'
import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { OnefoldError } from '../../src/error.ts'
import { type ZstdFrame, ZstdWalk } from '../../src/codecs/zstd-frames.ts'
import { type Damage, damage, hurt } from './damage.ts'

/** Damaged zstd files are walked the same way in pieces of any size, and the frames found fill what was walked. */
export function fuzzZstd(seed: number, rounds: number): void {
  const frame = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(zstdCompressSync(bytes))),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => {
      const params = { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 0 }
      return Buffer.from(zstdCompressSync(Buffer.concat([bytes, bytes]), { params }))
    }),
    fc
      .nat(40)
      .map((length) => Buffer.concat([Buffer.from([0x55, 0x2a, 0x4d, 0x18, length, 0, 0, 0]), Buffer.alloc(length)])),
  )
  const frames = fc.array(frame, { minLength: 1, maxLength: 4 }).map((parts) => Buffer.concat(parts))
  fc.assert(fc.property(frames, fc.array(damage, { maxLength: 3 }), fc.integer({ min: 1, max: 400 }), check), {
    seed,
    numRuns: rounds,
  })
}

function check(whole: Buffer, wounds: readonly Damage[], step: number): void {
  const bytes = hurt(whole, wounds)
  const atOnce = walk(bytes, Math.max(bytes.length, 1))
  assert.deepEqual(walk(bytes, step), atOnce)
  let end = 0
  for (const frame of atOnce.frames) {
    assert.equal(frame.offset, end)
    end += frame.length
  }
  if (atOnce.refused === undefined) assert.equal(end, bytes.length)
  else assert.ok(['BAD_FORMAT', 'LIMIT', 'UNSUPPORTED'].includes(atOnce.refused))
}

function walk(bytes: Buffer, step: number): { frames: ZstdFrame[]; refused: string | undefined } {
  const frames: ZstdFrame[] = []
  const walker = new ZstdWalk((frame) => frames.push(frame))
  try {
    for (let at = 0; at < bytes.length; at += step) walker.write(bytes.subarray(at, at + step))
    walker.end()
    return { frames, refused: undefined }
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
    return { frames, refused: error.code }
  }
}
