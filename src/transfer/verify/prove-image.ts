import { DigestCheck, type RecipeDigest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { Source } from '../../sources/source.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { Store, StoredImage } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import { composeRecord } from '../ensure-image.ts'
import { type ImportLimits, defaultLimits } from '../import/layer-job.ts'
import { importLayers } from '../pull/import-layers.ts'
import type { OnProgress } from '../progress.ts'
import { type VerifiedImage, proofOf, weakestProof } from './proof.ts'

export interface VerifyOptions {
  readonly limits?: Partial<ImportLimits>
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

/**
 * Proves layers that were only believed: fetches them whole, and compares the image they make with the one that was
 * made of their tables. An image that does not fit is marked as failed, and is not mounted any more without being told
 * to.
 */
export async function proveImage(
  store: Store,
  { record }: StoredImage,
  source: Source,
  options: VerifyOptions = {},
): Promise<VerifiedImage> {
  if (weakestProof(record.layers) === 'proven') return proofOf(record)
  await using transaction = await store.begin()
  const proving: Proving = { transaction, source, options }
  const layers: LayerRecord[] = []
  for (const layer of record.layers) layers.push(layer.proof === 'proven' ? layer : await proveLayer(proving, layer))
  const proved = { ...record, layers: asOneTree(transaction, record, layers) }
  transaction.putRecord(proved)
  await transaction.commit({ signal: options.signal })
  return proofOf(proved)
}

interface Proving {
  readonly transaction: Transaction
  readonly source: Source
  readonly options: VerifyOptions
}

async function proveLayer({ transaction, source, options }: Proving, layer: LayerRecord): Promise<LayerRecord> {
  const { blob, diffId, kind } = layer
  const { signal, onProgress } = options
  let recipe: RecipeDigest | undefined
  try {
    await importLayers(source, [{ blob, diffId }], {
      transaction,
      limits: { ...defaultLimits, ...options.limits },
      signal,
      onProgress,
      onLayer: (_, result) => void (recipe = result.recipe),
    })
  } catch (error) {
    if (!isLie(error)) throw error
    await requireBlob(source, blob, signal)
    return { ...layer, proof: 'failed' }
  }
  if (recipe === undefined) throw new Error('a layer was imported without a recipe')
  return { blob, diffId, recipe, kind, proof: 'proven' }
}

/** Tells whether an error is the fault of the blob's bytes. */
function isLie(error: unknown): boolean {
  return hasCode(error, 'DIGEST_MISMATCH') || hasCode(error, 'BAD_FORMAT')
}

/** Returns when the source gives out the blob that the manifest names: only then is it the image that lies. */
async function requireBlob(source: Source, blob: Descriptor, signal: AbortSignal | undefined): Promise<void> {
  const check = new DigestCheck(blob.digest)
  for await (const bytes of source.blob(blob, { signal, lent: true })) check.update(bytes)
  check.finish(`blob ${blob.digest}`)
}

/**
 * Returns the layers as they are to be recorded: a table that made another tree than the tar does has lied about it.
 */
function asOneTree(
  transaction: Transaction,
  record: ImageRecord,
  layers: readonly LayerRecord[],
): readonly LayerRecord[] {
  if (layers.some(({ proof }) => proof === 'failed')) return layers
  const composed = composeRecord(transaction, { ...record, layers })
  if (record.images.default === undefined || composed.digest === record.images.default) return layers
  return record.layers.map((layer) => (layer.proof === 'proven' ? layer : { ...layer, proof: 'failed' }))
}
