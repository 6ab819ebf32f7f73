import { OnefoldError } from '../error.ts'

/** Compression of a layer's tar. */
export type Compression = 'gzip' | 'zstd' | 'none'

/**
 * Tells the compression of a blob by its first bytes; media types lie too often. With ten bytes, or all there are, it
 * cannot be wrong. Throws UNSUPPORTED for the two compressions that old archives have and registries do not. Gzip is
 * taken by three bytes, deflate being its only method, so that a tar whose first name begins with 1f 8b stays a tar.
 */
export function detectCompression(first: Uint8Array): Compression {
  if (begins(first, [0x1f, 0x8b, 0x08])) return 'gzip'
  if (begins(first, [0x28, 0xb5, 0x2f, 0xfd])) return 'zstd'
  // A zstd file may begin with a skippable frame: 0x184D2A50 … 5F, little-endian.
  if (first.length >= 4 && (first[0]! & 0xf0) === 0x50 && begins(first.subarray(1), [0x2a, 0x4d, 0x18])) return 'zstd'
  if (begins(first, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])) throw unsupported('xz')
  // "BZh", a level, and the digits of π that lead each block: too long for a file name that means no harm.
  if (begins(first, [0x42, 0x5a, 0x68]) && begins(first.subarray(4), [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]))
    throw unsupported('bzip2')
  return 'none'
}

function begins(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, at) => bytes[at] === byte)
}

function unsupported(name: string): OnefoldError {
  return new OnefoldError(
    'UNSUPPORTED',
    `Cannot read a layer compressed with ${name}: expected gzip, zstd or plain tar`,
    {
      hint: 'Recompress it with gzip or zstd.',
    },
  )
}
