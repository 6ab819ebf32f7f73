import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Digest, DigestCheck, type VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'

/** Number of bytes after which other work gets a turn. */
const turnBytes = 32 * 1024 * 1024

/** Builds the tar and hashes it; throws DIGEST_MISMATCH unless it is the one that the config names. */
export async function proveRecipe(
  transaction: Transaction,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const recipe = readRecipe(bytes)
  const check = new DigestCheck(recipe.diffId)
  let done = 0
  for (const piece of transaction.rebuildTar(recipe)) {
    check.update(piece)
    done += piece.length
    if (done < turnBytes) continue
    done = 0
    await nextTurn()
    signal?.throwIfAborted()
  }
  check.finish('a layer, rebuilt from its tar-split')
}

/** Throws DIGEST_MISMATCH unless an object of the store has the sha256 that a table wants. */
export async function checkObject(store: Store, object: VerityDigest, want: Digest, size: number): Promise<void> {
  const check = new DigestCheck(want)
  let seen = 0
  for await (const bytes of store.readObject(object)) {
    check.update(bytes)
    seen += bytes.length
  }
  if (seen !== size)
    throw new OnefoldError('CORRUPT', `Cannot use object ${object}: it has ${seen} bytes, expected ${size}`)
  check.finish(`object ${object}`)
}
