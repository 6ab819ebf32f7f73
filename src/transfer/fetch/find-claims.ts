/** Finds the indexes of an image's layers, by asking every format that may have one. */
import { loadFormats } from '../../formats/all.ts'
import type { Binding } from '../../formats/binding.ts'
import { bindingOn } from '../../formats/claims.ts'
import type { Claim, DescribedImage } from '../../formats/format.ts'
import { type Answers, driveReading } from '../../content/drive-reading.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'

/** Indexes that are claimed to be of each layer. */
export type LayerClaims = ReadonlyMap<Descriptor, readonly Claim[]>

/**
 * Finds the claims on indexes of these layers.
 * @param options `unbound`: also indexes that nothing in the manifest binds, and those by which nothing is recognised
 */
export async function findClaims(
  answers: Answers,
  image: DescribedImage,
  layers: readonly Descriptor[],
  options: { readonly unbound: boolean },
): Promise<LayerClaims> {
  const found: Claim[] = []
  for (const { index, binding } of await loadFormats()) {
    if (index === undefined) continue
    const isBound = layers.some((layer) => binding?.(layer) !== undefined)
    const isWanted = options.unbound || (index.identifies && isBound)
    if (!isWanted) continue
    const reader = await index.load()
    found.push(...(await driveReading(reader.claims(image, layers, options), answers)))
  }
  return byLayer(found)
}

/** Returns the binding of an index in a layer's descriptor, in whatever format; throws BAD_FORMAT when it binds two. */
export async function bindingOf(layer: Descriptor): Promise<Binding | undefined> {
  // Most layers say nothing, and then nothing has to be loaded.
  return layer.annotations === undefined ? undefined : bindingOn(layer, await loadFormats())
}

function byLayer(claims: readonly Claim[]): LayerClaims {
  const found = new Map<Descriptor, Claim[]>()
  for (const claim of claims) {
    if (claim.layer === undefined) continue
    const of = found.get(claim.layer)
    if (of === undefined) found.set(claim.layer, [claim])
    else of.push(claim)
  }
  return found
}
