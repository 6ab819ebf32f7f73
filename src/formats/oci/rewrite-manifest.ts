import type { Digest, DiffId } from '../../digest.ts'
import type { UntrueAnnotations } from '../untrue-annotations.ts'
import { type Descriptor, descriptorValue } from './descriptor.ts'
import { type DocumentMembers, listOf, membersIn, membersOf } from './document-members.ts'
import { mediaTypes, ociLayerType } from './media-types.ts'

/**
 * Rewrites manifests and indexes for blobs that are made anew: all that is not about those bytes stays, also what we
 * know nothing of. The result is OCI, whatever it was, so that one image has one manifest wherever it is sent. The
 * documents have been read by parseManifest() before.
 */

/** Layer as it is now. */
export interface NewLayer {
  readonly digest: Digest
  readonly size: number
  /** Media type; default gzip. */
  readonly mediaType?: string | undefined
  /** Annotations for readers of its bytes. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

export interface Replaced {
  /** New bytes of each layer, the lowest first. Where they are the old bytes, all that is said of them stays. */
  readonly layers: readonly NewLayer[]
  /** The config, which may be another one too. */
  readonly config?: Pick<Descriptor, 'digest' | 'size'> | undefined
  /** Annotations to add to the manifest itself. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

/** Makes the manifest of an image whose layers are other blobs now, or are said to be in another format. */
export function replaceLayers(
  manifest: Uint8Array,
  { layers, config, annotations }: Replaced,
  untrue: UntrueAnnotations,
): Uint8Array {
  const { schemaVersion, mediaType: _, config: oldConfig, layers: old, ...rest } = membersIn(manifest)
  const before = listOf(old)
  const isSame = layers.every((layer, i) => membersOf(before[i])['digest'] === layer.digest)
  return write({
    schemaVersion,
    mediaType: mediaTypes.manifest,
    config: { ...membersOf(oldConfig), ...config, mediaType: mediaTypes.config },
    layers: layers.map((layer, i) => replaceLayer(membersOf(before[i]), layer, untrue)),
    ...annotated(rest, isSame ? undefined : untrue.ofImage, annotations),
  })
}

function replaceLayer(
  before: DocumentMembers,
  { digest, size, mediaType, annotations }: NewLayer,
  untrue: UntrueAnnotations,
): DocumentMembers {
  // What was said of the same bytes is still true, and what is said of them now comes to it.
  if (before['digest'] === digest) return withOciType(annotated(before, undefined, annotations), 'renamed')
  const layer = { mediaType: mediaType ?? mediaTypes.layerGzip, digest, size }
  return annotated({ ...layer, annotations: before['annotations'] }, untrue.ofLayer, annotations)
}

/** Makes the config of an image whose layers have other tars now, the lowest first; all else stays. */
export function replaceDiffIds(config: Uint8Array, diffIds: readonly DiffId[]): Uint8Array {
  const members = membersIn(config)
  return write({ ...members, rootfs: { ...membersOf(members['rootfs']), diff_ids: diffIds } })
}

/** Returns the manifest with more annotations, for the same blobs. */
export function addAnnotations(manifest: Uint8Array, more: Readonly<Record<string, string>>): Uint8Array {
  const { schemaVersion, mediaType: _, config, layers, annotations, ...rest } = membersIn(manifest)
  return write({
    schemaVersion,
    mediaType: mediaTypes.manifest,
    config: { ...membersOf(config), mediaType: mediaTypes.config },
    layers: listOf(layers).map((layer) => withOciType(membersOf(layer), 'kept')),
    ...rest,
    annotations: { ...membersOf(annotations), ...more },
  })
}

function withOciType(layer: DocumentMembers, foreign: 'kept' | 'renamed'): DocumentMembers {
  const { mediaType } = layer
  return typeof mediaType === 'string' ? { ...layer, mediaType: ociLayerType(mediaType, foreign) } : layer
}

/** Entry that stands in an index for an image now. */
export type NewManifest = Pick<Descriptor, 'mediaType' | 'digest' | 'size' | 'annotations'>

/**
 * Makes the index of images that are others now.
 * @param manifests what the entries with these digests stand for now; entries that are not among them are left out
 * @param more what belongs to the images and stands behind them
 */
export function replaceManifests(
  index: Uint8Array,
  manifests: ReadonlyMap<string, NewManifest>,
  untrue: UntrueAnnotations,
  more: readonly Descriptor[] = [],
): Uint8Array {
  const { schemaVersion, mediaType: _, manifests: old, ...rest } = membersIn(index)
  const entries = listOf(old).flatMap((entry) => {
    const before = membersOf(entry)
    const now = typeof before['digest'] === 'string' ? manifests.get(before['digest']) : undefined
    if (now === undefined) return []
    const { mediaType, digest, size } = now
    const isSame = digest === before['digest']
    return [annotated({ ...before, mediaType, digest, size }, isSame ? undefined : untrue.ofImage, now.annotations)]
  })
  const added = more.map((descriptor) => ({ ...descriptorValue(descriptor) }))
  return write({ schemaVersion, mediaType: mediaTypes.index, manifests: [...entries, ...added], ...rest })
}

/**
 * Returns the index.json of a layout with one more entry, as skopeo adds it: a name is taken away from the entry that
 * had it, and an entry with the same digest is replaced.
 */
export function addToLayout(index: Uint8Array, entry: Descriptor, name: string | undefined): Uint8Array {
  const layout = membersIn(index)
  const { mediaType, digest, size } = entry
  const added = { mediaType, digest, size, ...(name === undefined ? {} : { annotations: { [refName]: name } }) }
  const entries = listOf(layout['manifests']).map((each) => withoutName(membersOf(each), name))
  const same = entries.findIndex((each) => each['digest'] === (digest satisfies Digest))
  return write({ ...layout, manifests: same < 0 ? [...entries, added] : entries.with(same, added) })
}

const refName = 'org.opencontainers.image.ref.name'

/** Bytes of the index.json of a layout without images. */
export const emptyLayout = write({ schemaVersion: 2, manifests: [] })

function withoutName(entry: DocumentMembers, name: string | undefined): DocumentMembers {
  const { annotations, ...rest } = entry
  if (name === undefined || annotations === undefined) return entry
  const { [refName]: named, ...others } = membersOf(annotations)
  if (named !== name) return entry
  return Object.keys(others).length === 0 ? rest : { ...rest, annotations: others }
}

/** Takes the annotations away that are no longer true, and adds more. */
function annotated(
  members: DocumentMembers,
  untrue: ((name: string) => boolean) | undefined,
  more: Readonly<Record<string, string>> = {},
): DocumentMembers {
  const { annotations: before, ...others } = members
  const kept = Object.entries(membersOf(before)).filter(([name]) => untrue?.(name) !== true)
  const annotations = { ...Object.fromEntries(kept), ...more }
  if (Object.keys(annotations).length > 0) return { ...members, annotations }
  return untrue === undefined ? members : others
}

function write(value: DocumentMembers): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
