import { OnefoldError } from '../../error.ts'

/** Media types of images: OCI image-spec "media-types.md" and Docker's "Image Manifest Version 2, Schema 2". */
export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const

const manifests: ReadonlySet<string> = new Set([mediaTypes.manifest, mediaTypes.dockerManifest])
const indexes: ReadonlySet<string> = new Set([mediaTypes.index, mediaTypes.dockerIndex])
const schema1: ReadonlySet<string> = new Set([
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
])

/**
 * Media types of layers. The compression in the name is never believed (the magic decides), so one set is enough.
 * Foreign and non-distributable layers are layers like others: everybody who has the blob may read it.
 */
const layers: ReadonlySet<string> = new Set([
  ...['', '+gzip', '+zstd'].flatMap((suffix) => [
    `application/vnd.oci.image.layer.v1.tar${suffix}`,
    `application/vnd.oci.image.layer.nondistributable.v1.tar${suffix}`,
  ]),
  ...['', '.gzip', '.zstd'].flatMap((suffix) => [
    `application/vnd.docker.image.rootfs.diff.tar${suffix}`,
    `application/vnd.docker.image.rootfs.foreign.diff.tar${suffix}`,
  ]),
])

export type DocumentKind = 'manifest' | 'index' | 'schema1'

/**
 * Returns the kind of document a media type announces, without its parameters and in any case; undefined for all
 * others.
 */
export function documentKind(mediaType: string): DocumentKind | undefined {
  const bare = bareMediaType(mediaType)
  if (manifests.has(bare)) return 'manifest'
  if (indexes.has(bare)) return 'index'
  return schema1.has(bare) ? 'schema1' : undefined
}

/** Returns the type without parameters: `Application/JSON; charset=utf-8` → `application/json` (RFC 9110, 8.3.1). */
export function bareMediaType(mediaType: string): string {
  const end = mediaType.indexOf(';')
  return (end < 0 ? mediaType : mediaType.slice(0, end)).trim().toLowerCase()
}

/**
 * Tells whether a media type is that of an image's config. Docker wrote configs as plain octets for a short while in
 * 2016; registries still have them.
 */
export function isImageConfig(mediaType: string, manifestType: string): boolean {
  if (mediaType === mediaTypes.config || mediaType === mediaTypes.dockerConfig) return true
  return manifestType === mediaTypes.dockerManifest && mediaType === 'application/octet-stream'
}

/** Throws UNSUPPORTED, naming the media type, unless it is that of a tar layer, compressed or not. */
export function checkLayerType(mediaType: string): void {
  if (layers.has(mediaType)) return
  const what = `Cannot read a layer of media type ${JSON.stringify(mediaType.slice(0, 200))}`
  if (mediaType.endsWith('+encrypted'))
    throw new OnefoldError('UNSUPPORTED', `${what}: it is encrypted`, {
      hint: 'Decrypt the image first, for example with "skopeo copy --decryption-key".',
    })
  throw new OnefoldError('UNSUPPORTED', `${what}: expected a tar layer of OCI or Docker`)
}

const dockerLayerType = /^application\/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(?:\.(gzip|zstd))?$/

/**
 * Returns the name that OCI has for what Docker calls `application/vnd.docker.image.rootfs.…`; others stay. Foreign
 * layers stay as well, or become non-distributable ones.
 */
export function ociLayerType(mediaType: string, foreign: 'kept' | 'renamed'): string {
  const [found, isForeign, coding] = dockerLayerType.exec(mediaType) ?? []
  if (found === undefined || (isForeign !== undefined && foreign === 'kept')) return mediaType
  const kind = isForeign === undefined ? '' : 'nondistributable.'
  return `application/vnd.oci.image.layer.${kind}v1.tar${coding === undefined ? '' : `+${coding}`}`
}
