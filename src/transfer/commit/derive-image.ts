import type { LayerKind } from '../../formats/layer-kind.ts'
import { type Digest, type DiffId, type VerityDigest, digestOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readErofs } from '../../formats/composefs/read-image.ts'
import { type ConfigChange, parseChange } from '../../formats/oci/config-changes.ts'
import { type Descriptor, type Platform, describeBlob } from '../../formats/oci/descriptor.ts'
import { writeConfig } from '../../formats/oci/image-config.ts'
import { deriveConfig, ociLayers } from '../../formats/oci/derive-manifest.ts'
import { parseManifest, writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { hostPlatform } from '../../formats/oci/platform.ts'
import { tarTrailer } from '../../formats/tar/tar-writer.ts'
import { type Located, localSource } from '../../sources/local/local-source.ts'
import type { PlainLayer } from '../../sources/local/plain-source.ts'
import type { Source } from '../../sources/source.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { imageBytes } from '../ensure-image.ts'
import type { ImportLimits } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import { type PullStats, pull } from '../pull/pull.ts'
import { type LayerFrom, openLayer } from './commit-layer.ts'

export interface DeriveOptions {
  /** Instructions of a Dockerfile for the config: `CMD ["/bin/app"]`, `ENV A=1`. */
  readonly changes?: readonly string[] | undefined
  /** Message for the history. */
  readonly message?: string | undefined
  readonly author?: string | undefined
  /** Creation time in seconds since 1970; default $SOURCE_DATE_EPOCH, else now. */
  readonly created?: number | undefined
  /** Platform of an image without a base; default this machine. */
  readonly platform?: Platform | undefined
  readonly limits?: Partial<ImportLimits> | undefined
  /** Directory for standard input while it is read; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
  /** Called with what was left out, and why. */
  readonly onWarning?: ((message: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

export interface DerivedImage {
  readonly name: string
  readonly manifest: Digest
  readonly config: Digest
  readonly image: VerityDigest
  readonly platform: string
  /** diffID of the new layer; undefined when nothing was changed, so that there is none. */
  readonly layer: DiffId | undefined
  readonly stats: PullStats
}

/** Origin of an image, for its history and its record. */
export interface Provenance {
  readonly createdBy: string
  readonly origin: string
}

/**
 * Makes a new image: the layers of `base`, if there is one, and one more. It is brought in like a pulled one, in one
 * transaction; the new layer's tar goes straight into objects and a recipe.
 */
export async function deriveImage(
  store: Store,
  base: ImageRecord | undefined,
  from: LayerFrom,
  name: string,
  made: Provenance,
  options: DeriveOptions,
): Promise<DerivedImage> {
  store.checkName(name) // before anything is read
  const changes = (options.changes ?? []).map(parseChange)
  const created = options.created ?? defaultTime()
  const { signal, onProgress, onWarning, temporary, limits } = options
  const keepSelinux = base?.keepSelinux ?? false
  const lower = base && readErofs(await imageBytes(store, base))
  await using open = await openLayer(store, from, { lower, keepSelinux, onWarning, temporary })
  onProgress?.({ type: 'step', step: 'reading changes' })
  const read = await open.read({ signal })
  const layer = base !== undefined && String(read.diffId) === emptyTar ? undefined : read
  const source = imageSource(store, base, layer, { ...options, ...made, changes, created })
  const pulled = await pull(store, source, {
    name,
    keepSelinux,
    ...(limits && { limits }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  })
  const [image] = pulled.images
  if (image === undefined) throw new Error('a pull brings in what was selected')
  return { name, ...image, layer: layer?.diffId, stats: pulled.stats }
}

/** Digest of a tar without entries, which consists of its trailer alone. */
const emptyTar = digestOf(tarTrailer())

/** Returns the default creation time; https://reproducible-builds.org/specs/source-date-epoch/ */
function defaultTime(): number {
  const text = process.env['SOURCE_DATE_EPOCH'] ?? ''
  if (text === '') return Math.floor(Date.now() / 1000)
  if (/^\d{1,12}$/.test(text)) return Number(text)
  throw new OnefoldError('USAGE', `Cannot read SOURCE_DATE_EPOCH ${JSON.stringify(text)}: expected seconds since 1970`)
}

interface Parts extends Provenance {
  readonly changes: readonly ConfigChange[]
  readonly created: number
  readonly message?: string | undefined
  readonly author?: string | undefined
  readonly platform?: Platform | undefined
}

/**
 * Returns the new image as a source: its documents and its new layer. A pull finds the layers of the base in the store.
 */
function imageSource(
  store: Store,
  base: ImageRecord | undefined,
  layer: PlainLayer | undefined,
  { origin, platform, ...derivation }: Parts,
): Source {
  const baseConfig =
    base === undefined
      ? writeConfig({ platform: platform ?? hostPlatform(), diffIds: [] })
      : store.blob(base.config.digest)
  const config = deriveConfig(baseConfig, { ...derivation, diffId: layer?.diffId })
  const below = base === undefined ? [] : ociLayers(layersOf(store, base))
  const added = layer && { mediaType: layer.mediaType, digest: layer.digest, size: layer.blob.length }
  const configDescriptor = describeBlob(mediaTypes.config, config)
  const manifest = writeManifest({ config: configDescriptor, layers: [...below, ...(added ? [added] : [])] })
  const top = describeBlob(mediaTypes.manifest, manifest)
  const blobs = new Map<Digest, Located>([
    [top.digest, manifest],
    [configDescriptor.digest, config],
    ...(layer ? [[layer.digest, layer.blob] as const] : []),
  ])
  const kinds: LayerKind[] = [...(base?.layers ?? []).map(({ kind }) => kind), 'layer']
  const source = localSource({
    name: origin,
    kind: 'layer',
    resolve: async () => ({ descriptor: top, bytes: manifest }),
    locate: async ({ digest }) => blobs.get(digest),
    async close() {},
  })
  return { ...source, kinds }
}

function layersOf(store: Store, { manifest }: ImageRecord): readonly Descriptor[] {
  const parsed = parseManifest(store.blob(manifest.digest), manifest)
  if (parsed.kind === 'manifest') return parsed.layers
  throw new OnefoldError('CORRUPT', `Cannot use record ${manifest.digest}: it stands for an index`)
}
