import { hash } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { RecipeDigest } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { readWhole } from '../store-files.ts'
import { recipePath } from '../store-layout.ts'

/** Bytes of a recipe at most. It has about 1 KiB for each entry of its layer: this is a million entries. */
const recipeMax = 2 ** 30

/**
 * Level of compression. Most of a recipe is digests, which do not compress: level 3 takes twice the time for 4 % less,
 * level 9 ten times the time for 11 % less.
 */
const level = 1

export function packRecipe(bytes: Uint8Array): Uint8Array {
  if (bytes.length > recipeMax)
    throw new OnefoldError('LIMIT', `Cannot store a recipe of ${bytes.length} bytes: the limit is ${recipeMax}`)
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } })
}

/** Unpacks a recipe and checks it: cut off at the size it may have before it is unfolded further. */
export function unpackRecipe(packed: Uint8Array, digest: RecipeDigest): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = zstdDecompressSync(packed, { maxOutputLength: recipeMax })
  } catch (cause) {
    const found = errnoOf(cause) === 'ERR_BUFFER_TOO_LARGE' ? `over ${recipeMax} bytes` : 'damaged'
    throw new OnefoldError('CORRUPT', `Cannot read recipe ${digest}: its compressed form is ${found}`, { cause })
  }
  const got = hash('sha256', bytes, 'hex')
  if (got !== digest) throw new OnefoldError('CORRUPT', `Cannot read recipe ${digest}: its bytes hash to ${got}`)
  return bytes
}

/** The uncompressed recipe, checked against its name. `root` is that of a store, or the folder of a transaction. */
export function readRecipeFile(root: string, digest: RecipeDigest): Uint8Array | undefined {
  const packed = readWhole(recipePath(root, digest), `recipe ${digest}`, recipeMax)
  return packed === undefined ? undefined : unpackRecipe(packed, digest)
}
