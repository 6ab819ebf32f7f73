import type { Digest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor, Platform } from '../../formats/oci/descriptor.ts'
import { formatPlatform, hostPlatform, matchPlatform } from '../../formats/oci/platform.ts'
import { Catalog, type NamedImages } from './catalog.ts'
import type { ImageRecord } from './image-record.ts'

export interface StoredImage {
  /** The name it was found by, or all names that lead to it, in code unit order. */
  readonly names: readonly string[]
  /** The descriptor that what was found stands for: the image's manifest, or an index above it. */
  readonly top: Descriptor
  readonly record: ImageRecord
  /** Digest of the composefs image; undefined when none has been made. */
  readonly imageDigest: VerityDigest | undefined
}

export interface ListedImage extends StoredImage {
  readonly name: string
  /** Bytes of its regular files, each inode once. */
  readonly size: number
  /** Bytes of its blobs as a registry has them: manifest, config and layers. */
  readonly compressedSize: number
}

export interface FindOptions {
  /** Which image of an index; default: that of this machine, or the only one there is. */
  readonly platform?: Platform | undefined
}

/** A digest, or how it begins: with 12 digits, two of a million images share a prefix once in 560 stores. */
const digestSyntax = /^(?:(sha256|sha512):)?([0-9a-f]{12,128})$/

/**
 * Finds an image by its exact name, by a whole digest, or by 12 or more leading hex digits of one: of manifest, index,
 * config or composefs image. Throws NOT_FOUND, or BAD_NAME when it could be several.
 */
export function findImage(root: string, name: string, options: FindOptions = {}): StoredImage {
  const catalog = new Catalog(root)
  const named = catalog.named(name)
  if (named !== undefined) return choose(name, named, [named], options.platform)
  const found = digestSyntax.test(name) ? findByDigest(name, catalog.all(), options.platform) : []
  const [first] = found
  if (first === undefined) throw noImage(name)
  if (found.length === 1) return first
  const candidates = found.map(({ names, record }) => `${record.manifest.digest} (${names.join(', ')})`)
  throw new OnefoldError('BAD_NAME', `Cannot tell which image ${JSON.stringify(name)} is: ${candidates.join(' or ')}`, {
    hint: 'Give more digits, or a name.',
  })
}

/** Every name with every image it leads to, in order of name. */
export function listImages(root: string): ListedImage[] {
  const images = new Catalog(root).all()
  return images.flatMap(({ name, top, records }) =>
    records.map((record) => ({
      ...storedImage(record, top, images),
      name,
      size: record.size,
      compressedSize: record.layers.reduce(
        (sum, { blob }) => sum + blob.size,
        record.manifest.size + record.config.size,
      ),
    })),
  )
}

/** Finds distinct images; a digest of an index means the image in it that the platform asks for. */
function findByDigest(text: string, images: readonly NamedImages[], platform: Platform | undefined): StoredImage[] {
  const found = new Map<Digest, StoredImage>()
  for (const named of images) {
    const records = named.records.filter((record) => digestsOf(record).some((digest) => isMeant(text, digest)))
    for (const record of records) found.set(record.manifest.digest, storedImage(record, named.top, images))
    if (records.length > 0 || !isMeant(text, named.top.digest)) continue
    const image = choose(text, named, images, platform)
    found.set(image.record.manifest.digest, image)
  }
  return [...found.values()]
}

function digestsOf(record: ImageRecord): string[] {
  return [record.manifest.digest, record.config.digest, ...Object.values(record.images)]
}

/** Whether a digest begins as `text` does. It is whole, with an algorithm or (composefs images) without one. */
function isMeant(text: string, digest: string): boolean {
  const [, algorithm, prefix = ''] = digestSyntax.exec(text) ?? []
  const colon = digest.indexOf(':')
  const hasAlgorithm = algorithm === undefined || digest.slice(0, Math.max(0, colon)) === algorithm
  return prefix !== '' && hasAlgorithm && digest.startsWith(prefix, colon + 1)
}

/**
 * Chooses an image of a name. One that stands for one image means that, whatever it runs on; so does an index of which
 * one image was pulled.
 */
function choose(
  text: string,
  named: NamedImages,
  images: readonly NamedImages[],
  platform: Platform | undefined,
): StoredImage {
  const { records, top } = named
  const want = platform ?? hostPlatform()
  const [only] = records
  const isOnly = records.length === 1 && (platform === undefined || only?.manifest.digest === top.digest)
  const record = isOnly ? only : best(records, want)
  if (record !== undefined) return storedImage(record, top, images)
  const what = `Cannot find image ${JSON.stringify(text)}`
  if (records.length === 0)
    throw new OnefoldError('NOT_FOUND', `${what}: the name is there, what it stands for (${top.digest}) is not`, {
      hint: 'Pull it again; onefold fsck tells what else is damaged.',
    })
  const there = records.map((candidate) => formatPlatform(candidate.platform)).join(', ')
  throw new OnefoldError('NOT_FOUND', `${what} for ${formatPlatform(want)}: the store has ${there}`, {
    hint: 'Pull that platform with --platform, or choose one of those.',
  })
}

function best(records: readonly ImageRecord[], want: Platform): ImageRecord | undefined {
  let found: { readonly record: ImageRecord; readonly rank: number } | undefined
  for (const record of records) {
    const rank = matchPlatform(want, record.platform)
    if (rank !== undefined && (found === undefined || rank < found.rank)) found = { record, rank }
  }
  return found?.record
}

function storedImage(record: ImageRecord, top: Descriptor, images: readonly NamedImages[]): StoredImage {
  const { digest } = record.manifest
  const leading = images.filter(({ records }) => records.some(({ manifest }) => manifest.digest === digest))
  return { names: leading.map(({ name }) => name), top, record, imageDigest: record.images.default }
}

function noImage(name: string): OnefoldError {
  return new OnefoldError('NOT_FOUND', `Cannot find image ${JSON.stringify(name)}: the store has none of that name`, {
    hint: 'onefold images lists what there is.',
  })
}
