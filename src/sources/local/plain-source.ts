import type { AbortOptions } from '../../abort.ts'
import { type Digest, type DiffId, digestOf } from '../../digest.ts'
import { type Platform, describeBlob } from '../../formats/oci/descriptor.ts'
import { writeConfig } from '../../formats/oci/image-config.ts'
import { writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { hostPlatform } from '../../formats/oci/platform.ts'
import { type Located, localSource, once } from './local-source.ts'
import type { Artifact, Source } from '../source.ts'

/** The only layer of a plain tree, once it has been read through. */
export interface PlainLayer {
  readonly mediaType: string
  readonly digest: Digest
  readonly diffId: DiffId
  readonly blob: Located
}

/**
 * Makes a source for a tree that is no image: it becomes one of a single layer, with a config that says nothing but the
 * platform. `read` is called once, when something is first asked for: it hashes the whole tree.
 */
export function plainSource(parts: {
  readonly name: string
  /** Meaning of names in the tree; default 'plain'. */
  readonly kind?: Source['kind']
  readonly platform: Platform | undefined
  read(options: AbortOptions): Promise<PlainLayer>
  readonly close: () => Promise<void>
}): Source {
  const platform = parts.platform ?? hostPlatform()
  const image = once(async (options) => makeImage(await parts.read(options), platform))
  return localSource({
    name: parts.name,
    kind: parts.kind ?? 'plain',
    resolve: async (options) => (await image(options)).top,
    locate: async ({ digest }) => (await image({})).blobs.get(digest),
    close: parts.close,
  })
}

interface PlainImage {
  readonly top: Artifact
  readonly blobs: ReadonlyMap<Digest, Located>
}

function makeImage({ mediaType, digest, diffId, blob }: PlainLayer, platform: Platform): PlainImage {
  const config = writeConfig({ platform, diffIds: [diffId] })
  const configDigest = digestOf(config)
  const bytes = writeManifest({
    config: { mediaType: mediaTypes.config, digest: configDigest, size: config.length },
    layers: [{ mediaType, digest, size: blob.length }],
  })
  const descriptor = describeBlob(mediaTypes.manifest, bytes)
  const blobs = new Map<Digest, Located>([
    [digest, blob],
    [configDigest, config],
    [descriptor.digest, bytes],
  ])
  return { top: { descriptor, bytes }, blobs }
}
