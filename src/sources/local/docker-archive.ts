import { createHash } from 'node:crypto'
import type { AbortOptions } from '../../abort.ts'
import { type Digest, digestOf, isDigest, parseDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Compression, detectCompression } from '../../codecs/detect.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { type ImageConfig, parseConfig } from '../../formats/oci/image-config.ts'
import { type SavedImage, parseDockerSave } from '../../formats/oci/docker-save.ts'
import { writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { type FileSet, readDocument, readRange, readRangeWhole } from './file-set.ts'
import { localSource, once } from './local-source.ts'
import { type Reference, formatReference, parseReference } from '../registry/reference.ts'
import type { Artifact, FileRange, Source } from '../source.ts'

/**
 * Choice of an image that `docker save`, podman or skopeo wrote into a tar. The archive names files, not digests, and
 * has no manifest as registries know it: one is made here, the same for the same archive. The config is used as it is.
 */
export interface SavedChoice {
  readonly reference?: Reference | undefined
  readonly position?: number | undefined
}

/** Makes the source, which owns `files` from here on. */
export async function openDockerArchive(name: string, files: FileSet, choice: SavedChoice): Promise<Source> {
  const bytes = await readDocument(files, 'manifest.json')
  if (bytes === undefined) throw await notSaved(files)
  const image = choose(files, parseDockerSave(bytes), choice)
  const blobs = new Map<Digest, FileRange | Uint8Array>()
  const manifest = once((options) => makeManifest(files, image, blobs, options))
  return localSource({
    name,
    kind: 'layer',
    resolve: manifest,
    async locate({ digest }) {
      await manifest({})
      return blobs.get(digest)
    },
    close: () => files.close(),
  })
}

function choose(files: FileSet, images: readonly SavedImage[], choice: SavedChoice): SavedImage {
  const found = images.filter((image, i) => matches(image, i, choice))
  const [image] = found
  if (image === undefined)
    throw new OnefoldError(
      'NOT_FOUND',
      `Cannot find ${describe(choice)} in "${files.path}": it holds ${listTags(images)}`,
    )
  if (found.length === 1) return image
  throw new OnefoldError(
    'BAD_NAME',
    `Cannot choose an image in "${files.path}": it holds ${found.length}, with ${listTags(images)}`,
    { hint: `Put its name after a colon, docker-archive:${files.path}:NAME:TAG, or its position, :@0, :@1 …` },
  )
}

function matches(image: SavedImage, position: number, choice: SavedChoice): boolean {
  if (choice.position !== undefined) return position === choice.position
  const { reference } = choice
  return reference === undefined || image.tags.some((tag) => fullName(tag) === formatReference(reference))
}

/**
 * Returns the full form of a tag, which different tools write short (`app:1.2`) or in full; undefined for one that is
 * no reference, which cannot be asked for.
 */
function fullName(tag: string): string | undefined {
  try {
    return formatReference(parseReference(tag))
  } catch {
    return undefined
  }
}

async function makeManifest(
  files: FileSet,
  image: SavedImage,
  blobs: Map<Digest, FileRange | Uint8Array>,
  options: AbortOptions,
): Promise<Artifact> {
  const configBytes = await readRangeWhole(await member(files, image.config), image.config, options)
  const config = parseConfig(configBytes, image.layers.length)
  const configDigest = digestOf(configBytes)
  blobs.set(configDigest, configBytes)
  const layers: Descriptor[] = []
  for (const [i, name] of image.layers.entries()) {
    const { descriptor, range } = await describeLayer(files, name, config, i, options)
    blobs.set(descriptor.digest, range)
    layers.push(descriptor)
  }
  const bytes = writeManifest({
    config: { mediaType: mediaTypes.config, digest: configDigest, size: configBytes.length },
    layers,
  })
  return { descriptor: describeBlob(mediaTypes.manifest, bytes), bytes }
}

const layerTypes: Readonly<Record<Compression, string>> = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
}

/**
 * Describes a layer. The digest of an uncompressed layer is the diffID that the config claims, and that of a blob its
 * name. Neither is believed: the reader of the blob hashes it, and finds the lie. Only other compressed layers are
 * hashed here.
 */
async function describeLayer(
  files: FileSet,
  name: string,
  config: ImageConfig,
  i: number,
  options: AbortOptions,
): Promise<{ descriptor: Descriptor; range: FileRange }> {
  const range = await member(files, name)
  const compression = detectCompression(await head(range))
  const diffId = config.diffIds[i]
  const claimed = compression === 'none' && diffId !== undefined ? parseDigest(diffId) : digestInName(name)
  const digest = claimed ?? (await hashRange(range, options))
  return { descriptor: { mediaType: layerTypes[compression], digest, size: range.length }, range }
}

async function member(files: FileSet, name: string): Promise<FileRange> {
  const range = await files.locate(name)
  if (range !== undefined) return range
  throw new OnefoldError('NOT_FOUND', `Cannot find ${quote(name)} in "${files.path}": its manifest.json names it`)
}

async function head(range: FileRange): Promise<Uint8Array> {
  const length = Math.min(range.length, 32)
  return readRangeWhole({ ...range, length }, range.path)
}

function digestInName(name: string): Digest | undefined {
  const [, algorithm, hex] = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(name) ?? []
  const digest = `${algorithm}:${hex}`
  return isDigest(digest) ? digest : undefined
}

async function hashRange(range: FileRange, options: AbortOptions): Promise<Digest> {
  const hash = createHash('sha256')
  for await (const chunk of readRange(range, { ...options, lent: true })) hash.update(chunk)
  return parseDigest(`sha256:${hash.digest('hex')}`)
}

async function notSaved(files: FileSet): Promise<OnefoldError> {
  const message = `Cannot open "${files.path}" as a docker-archive: it has no file "manifest.json"`
  if ((await files.locate('index.json')) !== undefined)
    return new OnefoldError('BAD_FORMAT', message, { hint: `It is an OCI layout: oci-archive:${files.path}` })
  if ((await files.locate('repositories')) !== undefined)
    return new OnefoldError('UNSUPPORTED', `${message}; only Docker before 1.10 wrote it like that`, {
      hint: 'Load it into a Docker before 25 and save it again.',
    })
  return new OnefoldError('BAD_FORMAT', message, { hint: `A tar of a plain tree is tar:${files.path}` })
}

function describe({ reference, position }: SavedChoice): string {
  if (reference !== undefined) return quote(formatReference(reference))
  return position === undefined ? 'an image' : `image @${position}`
}

function listTags(images: readonly SavedImage[]): string {
  const tags = images.flatMap((image) => image.tags)
  if (tags.length === 0) return images.length === 0 ? 'no images' : 'no tags'
  const more = tags.length > 30 ? ` and ${tags.length - 30} more` : ''
  return tags.slice(0, 30).map(quote).join(', ') + more
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 300))
}
