import { setImmediate } from 'node:timers/promises'
import { DigestCheck } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { quoteName } from '../../formats/path.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { OnProgress } from '../progress.ts'

export interface WatchOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** Counts the bytes of the layer's tar. */
export function tarSizeOf(store: Store, layer: LayerRecord): number {
  return readRecipe(store.recipe(layer.recipe)).tarSize
}

/**
 * Builds the tar of a stored layer again. It is hashed on the way and must come out with the diffID of the layer: CORRUPT
 * at the end if it does not. Chunks are valid until the next is asked for.
 */
export function* layerTar(store: Store, layer: LayerRecord, options: WatchOptions = {}): Generator<Uint8Array> {
  const { signal, onProgress } = options
  const check = new DigestCheck(layer.diffId)
  const size = tarSizeOf(store, layer)
  const event = { type: 'layer', digest: layer.blob.digest, size } as const
  onProgress?.({ ...event, done: 0, finished: false })
  let done = 0
  let told = 0
  for (const bytes of store.rebuildTar(layer.recipe)) {
    signal?.throwIfAborted()
    check.update(bytes)
    done += bytes.length
    if (done - told > progressBytes) onProgress?.({ ...event, done: (told = done), finished: false })
    yield bytes
  }
  finish(check, layer)
  onProgress?.({ ...event, done: size, finished: true })
}

const progressBytes = 4 * 1024 * 1024

function finish(check: DigestCheck, { diffId }: LayerRecord): void {
  try {
    check.finish(`the tar of layer ${diffId}`)
  } catch (cause) {
    throw new OnefoldError('CORRUPT', `Cannot build layer ${diffId} again: what the store holds gives another tar`, {
      cause,
      hint: 'See what is damaged: onefold fsck',
    })
  }
}

/** Lets the event loop turn now and then while chunks go by, or nobody would hear of a signal. */
export async function* turning(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let sinceTurn = 0
  for await (const chunk of chunks) {
    yield chunk
    sinceTurn += chunk.length
    if (sinceTurn < turnBytes) continue
    sinceTurn = 0
    await setImmediate()
    signal?.throwIfAborted()
  }
}

const turnBytes = 16 * 1024 * 1024

/**
 * UNSUPPORTED when there is no tar to make a layer of. One that was pulled in parts has none that is known. A plain tree
 * has no whiteouts; as the layer of an image, files that are named like them would become some and delete others.
 */
export function requireLayer(store: Store, { blob, kind, proof, recipe }: LayerRecord): void {
  if (proof !== 'proven')
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot build layer ${blob.digest} again: only parts of it were pulled, and its tar is not known`,
      { hint: 'push, oci: and oci-archive: copy its blob from the origin; tar: needs none.' },
    )
  if (kind !== 'plain') return
  for (const { path } of readRecipe(store.recipe(recipe)).entries()) {
    if (!path.slice(path.lastIndexOf('/') + 1).startsWith('.wh.')) continue
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot make a layer of a plain tree with ${quoteName(path)}: in an image that name deletes files`,
      { hint: 'Export it as tar: instead, where every name is data.' },
    )
  }
}
