import { type Digest, algorithmOf, checkDigest, hexOf } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { readJson } from '../../formats/json.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { type Index, detectMediaType, parseIndex } from '../../formats/oci/manifest.ts'
import { documentKind, mediaTypes } from '../../formats/oci/media-types.ts'
import { type FileSet, readDocument } from './file-set.ts'
import { localSource } from './local-source.ts'
import { type Artifact, type FileRange, type Related, type Source, isReferrersTag, referrersTag } from '../source.ts'

/**
 * Choice of an image in an OCI image layout (image-spec "image-layout.md"), which is a directory or a tar:
 *
 *     oci-layout              {"imageLayoutVersion": "1.0.0"}
 *     index.json              an image index: one entry per image, its name in an annotation
 *     blobs/sha256/<hex>      manifests, configs, layers
 */
export interface LayoutChoice {
  readonly image?: string | undefined
  readonly digest?: Digest | undefined
}

/** Annotations in which tools put the name of an image: most the first, containerd and Docker both. */
const nameAnnotations = ['org.opencontainers.image.ref.name', 'io.containerd.image.name']

/** Makes the source, which owns `files` from here on. */
export async function openLayout(name: string, files: FileSet, choice: LayoutChoice): Promise<Source> {
  await checkVersion(files)
  return localSource({
    name,
    kind: 'layer',
    resolve: () => resolveEntry(files, choice),
    locate: ({ digest }) => locateBlob(files, digest),
    related: (what) => readRelated(files, choice, what),
    close: () => files.close(),
  })
}

async function checkVersion(files: FileSet): Promise<void> {
  const bytes = await readDocument(files, 'oci-layout')
  if (bytes === undefined)
    throw new OnefoldError('BAD_FORMAT', `Cannot open "${files.path}" as an OCI layout: it has no file "oci-layout"`, {
      hint: 'What "docker save" wrote is docker-archive:, what "skopeo copy … dir:" wrote is dir:, a plain tree is rootfs: or tar:.',
    })
  const version = readJson(bytes, `"${files.path}/oci-layout"`).text('imageLayoutVersion')
  if (/^1\.\d+\.\d+$/.test(version)) return
  const found = JSON.stringify(version.slice(0, 50))
  throw new OnefoldError('UNSUPPORTED', `Cannot open "${files.path}": its imageLayoutVersion is ${found}, expected 1.x`)
}

async function resolveEntry(files: FileSet, choice: LayoutChoice): Promise<Artifact> {
  const bytes = await readDocument(files, 'index.json')
  if (bytes === undefined)
    throw new OnefoldError('BAD_FORMAT', `Cannot open "${files.path}" as an OCI layout: it has no file "index.json"`)
  const index = parseIndex(bytes, `"${files.path}/index.json"`)
  if (choice.digest !== undefined) return byDigest(files, index, choice.digest)
  if (choice.image === undefined && isWholeIndex(index))
    return { descriptor: describeBlob(mediaTypes.index, bytes), bytes }
  const entry = choice.image === undefined ? onlyEntry(files, index) : namedEntry(files, index, choice.image)
  return readEntry(files, entry)
}

async function readRelated(files: FileSet, { image }: LayoutChoice, what: Related): Promise<Artifact | undefined> {
  const related = 'digest' in what ? { digest: what.digest } : { image: relatedName(image, what) }
  if (related.digest === undefined && related.image === undefined) return undefined
  try {
    return await resolveEntry(files, related)
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

/**
 * Returns the name of a related document. A layout has no referrers API: tools do here what registries do without one.
 */
function relatedName(image: string | undefined, what: Exclude<Related, { digest: Digest }>): string | undefined {
  if ('referrersOf' in what) return referrersTag(what.referrersOf)
  return image === undefined ? undefined : image + what.tagSuffix
}

/**
 * Tells whether an index.json is itself an image's index: one that lists the platforms of one image, instead of images.
 */
function isWholeIndex(index: Index): boolean {
  const { manifests } = index
  return manifests.length > 1 && manifests.every((entry) => entry.platform !== undefined && namesOf(entry).length === 0)
}

function namedEntry(files: FileSet, index: Index, image: string): Descriptor {
  const entries = distinct(index.manifests.filter((entry) => namesOf(entry).includes(image)))
  const [entry] = entries
  const wanted = JSON.stringify(image)
  if (entry === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot find image ${wanted} in "${files.path}": it holds ${listNames(index)}`)
  if (entries.length === 1) return entry
  const digests = entries.map(({ digest }) => digest)
  throw new OnefoldError(
    'BAD_FORMAT',
    `Cannot choose ${wanted} in "${files.path}": it names ${digests.length} images`,
    {
      hint: `Name one by its digest: ${files.path}@${digests[0]}`,
    },
  )
}

function onlyEntry(files: FileSet, index: Index): Descriptor {
  const entries = distinct(index.manifests.filter(isImage))
  const [entry] = entries
  if (entry === undefined) throw new OnefoldError('NOT_FOUND', `Cannot find an image in "${files.path}": it holds none`)
  if (entries.length === 1) return entry
  throw new OnefoldError(
    'BAD_NAME',
    `Cannot choose an image in "${files.path}": no name was given, it holds ${listNames(index)}`,
    { hint: `Put the name after a colon: ${files.path}:${index.manifests.flatMap(namesOf)[0] ?? 'NAME'}` },
  )
}

/** Says whether an entry is an image: a list of what refers to one is kept like an image, under a name of its own. */
function isImage(entry: Descriptor): boolean {
  return documentKind(entry.mediaType) !== undefined && !namesOf(entry).some(isReferrersTag)
}

/**
 * Reads a manifest that the layout's index names, or any other that lies among the blobs, such as one inside an index.
 */
async function byDigest(files: FileSet, index: Index, digest: Digest): Promise<Artifact> {
  const entry = index.manifests.find((candidate) => candidate.digest === digest)
  if (entry !== undefined) return readEntry(files, entry)
  const bytes = await readDocument(files, blobName(digest))
  if (bytes === undefined) throw new OnefoldError('NOT_FOUND', `Cannot find ${digest} in "${files.path}"`)
  checkDigest(bytes, digest, `manifest ${digest} of "${files.path}"`)
  return { descriptor: { mediaType: detectMediaType(bytes), digest, size: bytes.length }, bytes }
}

async function readEntry(files: FileSet, entry: Descriptor): Promise<Artifact> {
  const { mediaType, digest, size } = entry
  const bytes = await readDocument(files, blobName(digest))
  if (bytes === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot find manifest ${digest} in "${files.path}": its index names it`)
  checkDigest(bytes, digest, `manifest ${digest} of "${files.path}"`)
  if (bytes.length === size) return { descriptor: { mediaType, digest, size }, bytes }
  throw new OnefoldError(
    'DIGEST_MISMATCH',
    `Cannot accept manifest ${digest} of "${files.path}": it has ${bytes.length} bytes, the index says ${size}`,
  )
}

async function locateBlob(files: FileSet, digest: Digest): Promise<FileRange | undefined> {
  return files.locate(blobName(digest))
}

/** Returns the path of a blob, which is safe: a Digest is an algorithm we know and hex digits, whoever wrote it. */
function blobName(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`
}

function namesOf(entry: Descriptor): string[] {
  return nameAnnotations.flatMap((key) => entry.annotations?.[key] ?? [])
}

/** Leaves one entry of each digest: tools append an entry for every copy. */
function distinct(entries: readonly Descriptor[]): Descriptor[] {
  return [...new Map(entries.map((entry) => [entry.digest, entry])).values()]
}

function listNames(index: Index): string {
  const names = index.manifests.map((entry) => namesOf(entry)[0] ?? `@${entry.digest}`)
  if (names.length === 0) return 'no images'
  const more = names.length > 30 ? ` and ${names.length - 30} more` : ''
  return (
    names
      .slice(0, 30)
      .map((name) => JSON.stringify(name.slice(0, 200)))
      .join(', ') + more
  )
}
