import { existsSync } from 'node:fs'
import type { RecipeDigest, VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { ImageRecord, LayerRecord } from '../store/records/image-record.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction/transaction.ts'
import { type Composed, Composer } from '../image/composer.ts'

/**
 * Composed images, which are a cache: one that is missing is composed again from the recipes, and must come out the
 * same.
 */

/** Stored layers, the lowest first, and a way to read their recipes. */
export interface StoredLayers {
  readonly layers: readonly Pick<LayerRecord, 'recipe' | 'kind'>[]
  /** Returns the uncompressed recipe. */
  readRecipe(digest: RecipeDigest): Uint8Array
}

/** Composes the image of stored layers; `sink` gets it in pieces that are good until the next one. */
export function composeLayers(
  stored: StoredLayers,
  keepSelinux: boolean,
  sink?: (piece: Uint8Array) => void,
): Composed {
  const composer = new Composer({ keepSelinux })
  stored.layers.forEach(({ recipe, kind }, place) => {
    composer.layer([place], { bytes: stored.readRecipe(recipe), kind })
  })
  return composer.finish(sink)
}

/** Composes the image of a record from its stored layers. */
export function composeRecord(
  transaction: Transaction,
  { layers, keepSelinux }: ImageRecord,
  sink?: (piece: Uint8Array) => void,
): Composed {
  return composeLayers({ layers, readRecipe: (digest) => transaction.readRecipe(digest) }, keepSelinux, sink)
}

/** Returns the digest of the record's image, which lies in the store when this returns. */
export async function ensureImage(store: Store, record: ImageRecord): Promise<VerityDigest> {
  const want = record.images.default
  if (want !== undefined && existsSync(store.imagePath(want))) return want
  await using transaction = await store.begin()
  using staged = transaction.stageImage()
  const composed = composeRecord(transaction, record, staged.write)
  if (want !== undefined && composed.digest !== want)
    throw new OnefoldError('CORRUPT', `Cannot compose image ${want} again: the recipes give ${composed.digest}`, {
      hint: 'See what is damaged: onefold fsck',
    })
  transaction.putImage(composed.digest, staged)
  transaction.putRecord({ ...record, images: { default: composed.digest } })
  await transaction.commit()
  return composed.digest
}

/** Returns the bytes of the record's image. */
export async function imageBytes(store: Store, record: ImageRecord): Promise<Uint8Array> {
  const digest = await ensureImage(store, record)
  const bytes = store.image(digest)
  if (bytes === undefined) throw new OnefoldError('BUSY', `Cannot read image ${digest}: it was removed this moment`)
  return bytes
}
