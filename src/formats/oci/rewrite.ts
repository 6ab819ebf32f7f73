import type { Digest } from '../../digest.ts'
import type { Descriptor } from '../entry.ts'
import { mediaTypes, ociLayerType } from './media-types.ts'

/**
 * Manifests and indexes as they become when blobs are made anew: all that is not about those bytes stays, also what we
 * know nothing of. What comes out is OCI, whatever it was, so that one image has one manifest wherever it is sent. The
 * documents have been read by parseManifest() before.
 */

type Members = Record<string, unknown>

/**
 * `layers`: the new bytes of each layer, the lowest first; their media type is that of gzip. Where they are the old bytes,
 * all that is said of them stays.
 */
export function replaceLayers(
  manifest: Uint8Array,
  layers: readonly Pick<Descriptor, 'digest' | 'size'>[],
): Uint8Array {
  const { schemaVersion, mediaType: _, config, layers: old, ...rest } = parse(manifest)
  const before = listOf(old)
  return write({
    schemaVersion,
    mediaType: mediaTypes.manifest,
    config: { ...membersOf(config), mediaType: mediaTypes.config },
    layers: layers.map(({ digest, size }, i) => {
      const layer = membersOf(before[i])
      if (layer['digest'] === digest) return { ...layer, mediaType: ociLayerType(layer['mediaType']) }
      const kept = keptAnnotations(layer['annotations'])
      return { mediaType: mediaTypes.layerGzip, digest, size, ...(kept === undefined ? {} : { annotations: kept }) }
    }),
    ...rest,
  })
}

/** The same blobs under a manifest with more annotations. */
export function addAnnotations(manifest: Uint8Array, more: Readonly<Record<string, string>>): Uint8Array {
  const { schemaVersion, mediaType: _, config, layers, annotations, ...rest } = parse(manifest)
  return write({
    schemaVersion,
    mediaType: mediaTypes.manifest,
    config: { ...membersOf(config), mediaType: mediaTypes.config },
    layers: listOf(layers).map((layer) => withOciType(membersOf(layer))),
    ...rest,
    annotations: { ...membersOf(annotations), ...more },
  })
}

function withOciType(layer: Members): Members {
  const { mediaType } = layer
  return { ...layer, mediaType: ociLayerTypes.get(String(mediaType)) ?? mediaType }
}

const ociLayerTypes: ReadonlyMap<string, string> = new Map([
  [mediaTypes.dockerLayer, mediaTypes.layer],
  [mediaTypes.dockerLayerGzip, mediaTypes.layerGzip],
  [mediaTypes.dockerLayerZstd, mediaTypes.layerZstd],
])

/** `manifests`: what the entries with these digests stand for now. Entries that are not among them are left out. */
export function replaceManifests(
  index: Uint8Array,
  manifests: ReadonlyMap<string, Pick<Descriptor, 'mediaType' | 'digest' | 'size'>>,
): Uint8Array {
  const { schemaVersion, mediaType: _, manifests: old, ...rest } = parse(index)
  const entries = listOf(old).flatMap((entry) => {
    const before = membersOf(entry)
    const now = typeof before['digest'] === 'string' ? manifests.get(before['digest']) : undefined
    if (now === undefined) return []
    return [{ ...before, mediaType: now.mediaType, digest: now.digest, size: now.size }]
  })
  return write({ schemaVersion, mediaType: mediaTypes.index, manifests: entries, ...rest })
}

/**
 * The index.json of a layout with one more entry, as skopeo adds it: a name is taken away from whoever had it, and an
 * entry with the same digest is replaced.
 */
export function addToLayout(index: Uint8Array, entry: Descriptor, name: string | undefined): Uint8Array {
  const layout = parse(index)
  const { mediaType, digest, size } = entry
  const added = { mediaType, digest, size, ...(name === undefined ? {} : { annotations: { [refName]: name } }) }
  const entries = listOf(layout['manifests']).map((each) => withoutName(membersOf(each), name))
  const same = entries.findIndex((each) => each['digest'] === (digest satisfies Digest))
  return write({ ...layout, manifests: same < 0 ? [...entries, added] : entries.with(same, added) })
}

const refName = 'org.opencontainers.image.ref.name'

/** What the index.json of a layout without images holds. */
export const emptyLayout = write({ schemaVersion: 2, manifests: [] })

function withoutName(entry: Members, name: string | undefined): Members {
  const { annotations, ...rest } = entry
  if (name === undefined || annotations === undefined) return entry
  const { [refName]: named, ...others } = membersOf(annotations)
  if (named !== name) return entry
  return Object.keys(others).length === 0 ? rest : { ...rest, annotations: others }
}

/** Of layers that were made to be read lazily: tables of contents of bytes that are no more. */
const compressionAnnotations =
  /^(?:containerd\.io\/snapshot\/|io\.containers\.estargz\.|io\.github\.containers\.zstd-chunked\.)/

function keptAnnotations(annotations: unknown): Members | undefined {
  if (annotations === undefined || annotations === null) return undefined
  const kept = Object.entries(membersOf(annotations)).filter(([name]) => !compressionAnnotations.test(name))
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

function parse(bytes: Uint8Array): Members {
  return membersOf(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()))
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function membersOf(value: unknown): Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

function write(value: Members): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
