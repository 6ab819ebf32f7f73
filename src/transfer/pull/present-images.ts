/**
 * Finds the parts of an image that are in the store already: decided here, for the plan that is shown and for the pull
 * that follows it.
 */
import { existsSync } from 'node:fs'
import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Selected } from '../../formats/oci/select-image.ts'
import type { ImageRecord, LayerRecord, Proof } from '../../store/records/image-record.ts'
import type { LayerKey, Missing, Store } from '../../store/store.ts'
import { bindingOf } from '../fetch/find-claims.ts'
import type { PartialPolicy } from '../fetch/layer-outlook.ts'
import type { WantedLayer } from './import-layers.ts'
import type { PullOptions } from './pull-options.ts'
import { requirePlatform } from './select-images.ts'

/**
 * Returns the image's record when the store has all that it names, objects as far as fsck has looked; fsck checks
 * whether the rest is sound.
 */
export function presentImage(store: Store, selected: Selected, options: PullOptions): ImageRecord | undefined {
  const record = unlessDamaged(() => store.record(selected.descriptor.digest))
  if (record === undefined) return undefined
  requirePlatform(options.platform, selected, record.platform)
  const image = record.images.default
  const isWhole =
    image !== undefined &&
    existsSync(store.imagePath(image)) &&
    record.keepSelinux === (options.keepSelinux ?? false) &&
    store.hasBlob(record.config.digest) &&
    selected.trail.every(({ descriptor }) => store.hasBlob(descriptor.digest)) &&
    record.layers.every(({ recipe, proof }) => store.hasRecipe(recipe) && isEnough(proof, options.partial))
  if (!isWhole) return undefined
  const missing = store.missing()
  return record.layers.every(({ recipe }) => missing.isWhole(recipe)) ? record : undefined
}

/** Finds layers that the store knows. */
export type FindLayer = (want: LayerKey) => Promise<LayerRecord | undefined>

/** Finds layers that the store has whole, by what is known of them. */
export class PresentLayers {
  readonly #find: FindLayer
  readonly #missing: Missing

  constructor(store: Store, find: FindLayer) {
    this.#find = find
    this.#missing = store.missing()
  }

  /**
   * Finds a layer of the store that stands for the wanted one: proven, or believed of this very blob where that is
   * enough.
   */
  async find({ blob, diffId }: WantedLayer, policy: PartialPolicy): Promise<LayerRecord | undefined> {
    const known = (await this.#find({ diffId })) ?? (await this.#believed({ blob, diffId }, policy))
    return known !== undefined && this.#missing.isWhole(known.recipe) ? { ...known, diffId } : undefined
  }

  async #believed({ blob, diffId }: WantedLayer, policy: PartialPolicy): Promise<LayerRecord | undefined> {
    const toc = policy === 'never' ? undefined : (await bindingOf(blob))?.digest
    const known = toc === undefined ? undefined : await this.#find({ blob: blob.digest, toc })
    return known?.diffId === diffId ? known : undefined
  }
}

/** Returns the policy for an image's layers: its tables are not used again once they were found to lie. */
export function policyFor(store: Store, manifest: Digest, { partial = 'auto' }: PullOptions): PartialPolicy {
  const before = unlessDamaged(() => store.record(manifest))
  return before?.layers.some(({ proof }) => proof === 'failed') === true ? 'never' : partial
}

/**
 * Tells whether a layer need not be pulled again: layers that were found to lie are, and those that are only believed
 * when whole ones are asked for.
 */
function isEnough(proof: Proof, policy: PartialPolicy | undefined): boolean {
  return proof === 'proven' || (proof === 'toc-only' && policy !== 'never')
}

/** Returns what `read` returns; undefined when it is damaged, since it is then brought in again. */
export function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OnefoldError && ['BAD_FORMAT', 'BAD_NAME', 'CORRUPT', 'LIMIT'].includes(error.code))
      return undefined
    throw error
  }
}
