import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor, Platform } from './descriptor.ts'
import { parseConfig } from './image-config.ts'
import { type Index, type Manifest, checkImage, parseArtifact } from './manifest.ts'
import { documentKind, isImageConfig } from './media-types.ts'
import { formatPlatform, matchPlatform } from './platform.ts'

/** Manifest or index with the descriptor its bytes have been checked against. */
export interface Document {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

/** Image found at or below a top document. */
export interface Selected extends Document {
  readonly manifest: Manifest
  /** Documents on the way to this one: first the top one, last this one. */
  readonly trail: readonly Document[]
  /** Platform as the index says; undefined when no index does (the config knows). */
  readonly platform: Platform | undefined
}

/** Gives the bytes of a manifest, index or config, verified against digest and size. */
export type FetchDocument = (descriptor: Descriptor) => Promise<Uint8Array>

/**
 * Limits on indexes inside indexes, and entries in all of them, that are followed: both are the other side's choice.
 */
const depthMax = 8
const entriesMax = 10_000
const indexesMax = 100

/**
 * Finds the image for `want`: the top document itself when it is a manifest, whatever it runs on, else the best match
 * of the index and the indexes in it. Entries that tell no platform are asked last, by their config.
 */
export async function selectImage(top: Document, want: Platform, fetch: FetchDocument): Promise<Selected> {
  const listed = await listImages(top, fetch)
  if ('manifest' in listed) return requireReadable(listed)
  for (const candidate of ranked(listed, want)) {
    const image = await openImage(candidate, fetch)
    if (image !== undefined) return requireReadable(image)
  }
  const found = await bestByConfig(listed, want, fetch)
  if (found !== undefined) return requireReadable(found)
  throw noMatch(want, listed)
}

/**
 * Returns every image at or below the top document, in order of appearance. Attestations and other artifacts are left
 * out.
 */
export async function selectAllImages(top: Document, fetch: FetchDocument): Promise<Selected[]> {
  const listed = await listImages(top, fetch)
  if ('manifest' in listed) return [requireReadable(listed)]
  const images: Selected[] = []
  for (const candidate of listed) {
    const image = await openImage(candidate, fetch)
    if (image !== undefined) images.push(requireReadable(image))
  }
  if (images.length > 0) return images
  throw new OnefoldError('NOT_FOUND', `Cannot find an image in index ${top.descriptor.digest}: it lists none`)
}

/** Manifest in an index, not fetched yet. */
interface Candidate {
  readonly descriptor: Descriptor
  readonly trail: readonly Document[]
}

async function listImages(top: Document, fetch: FetchDocument): Promise<Selected | Candidate[]> {
  const parsed = parseArtifact(top.bytes, top.descriptor)
  if (parsed.kind === 'manifest') return { ...top, manifest: parsed, trail: [top], platform: undefined }
  const walk = new IndexWalk(fetch)
  await walk.visit(parsed, [top])
  return walk.candidates
}

/** Collects the manifests of nested indexes, each once. */
class IndexWalk {
  readonly candidates: Candidate[] = []
  readonly #fetch: FetchDocument
  readonly #seen = new Set<Digest>()
  #indexes = 0

  constructor(fetch: FetchDocument) {
    this.#fetch = fetch
  }

  async visit(index: Index, trail: readonly Document[]): Promise<void> {
    for (const descriptor of index.manifests) {
      if (!mayBeImage(descriptor)) continue
      refuseLoop(descriptor, trail)
      if (this.#seen.has(descriptor.digest)) continue
      this.#seen.add(descriptor.digest)
      if (documentKind(descriptor.mediaType) === 'index') await this.#descend(descriptor, trail)
      else this.candidates.push({ descriptor, trail })
    }
    refuse(this.candidates.length > entriesMax, trail, `it leads to more than ${entriesMax} manifests`)
  }

  async #descend(descriptor: Descriptor, trail: readonly Document[]): Promise<void> {
    refuse(trail.length >= depthMax, trail, `indexes are nested deeper than ${depthMax}`)
    refuse(++this.#indexes > indexesMax, trail, `it leads to more than ${indexesMax} further indexes`)
    const bytes = await this.#fetch(descriptor)
    const parsed = parseArtifact(bytes, descriptor)
    if (parsed.kind === 'index') await this.visit(parsed, [...trail, { descriptor, bytes }])
  }
}

/** Refuses a loop, which needs a source that does not verify what it gives. */
function refuseLoop(descriptor: Descriptor, trail: readonly Document[]): void {
  if (trail.some((document) => document.descriptor.digest === descriptor.digest))
    throw new OnefoldError('BAD_FORMAT', `Cannot follow index ${descriptor.digest}: it contains itself`)
}

function refuse(condition: boolean, trail: readonly Document[], why: string): void {
  if (condition) throw new OnefoldError('LIMIT', `Cannot follow index ${trail[0]?.descriptor.digest}: ${why}`)
}

/**
 * Tells whether an entry may be an image. Attestations stand in indexes as manifests for platform unknown/unknown,
 * SOCI's and others' with an artifact type; whatever is neither manifest nor index cannot be an image either.
 */
function mayBeImage(descriptor: Descriptor): boolean {
  const { mediaType, artifactType, platform, annotations } = descriptor
  const kind = documentKind(mediaType)
  if (kind !== 'manifest' && kind !== 'index') return false
  if (artifactType !== undefined && !isImageConfig(artifactType, mediaType)) return false
  return platform?.os !== 'unknown' && annotations?.['vnd.docker.reference.type'] === undefined
}

/**
 * Returns the candidates that can run by what the index says of them, the best first; among equals the index' order
 * stands.
 */
function ranked(candidates: readonly Candidate[], want: Platform): Candidate[] {
  return candidates
    .flatMap((candidate) => {
      const { platform } = candidate.descriptor
      const rank = platform && matchPlatform(want, platform)
      return rank === undefined ? [] : [{ candidate, rank }]
    })
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ candidate }) => candidate)
}

async function bestByConfig(
  candidates: readonly Candidate[],
  want: Platform,
  fetch: FetchDocument,
): Promise<Selected | undefined> {
  let best: { image: Selected; rank: number } | undefined
  for (const candidate of candidates) {
    if (candidate.descriptor.platform !== undefined) continue
    const image = await openImage(candidate, fetch)
    if (image === undefined) continue
    const { platform } = parseConfig(await fetch(image.manifest.config))
    const rank = matchPlatform(want, platform)
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { image: { ...image, platform }, rank }
  }
  return best?.image
}

/** Fetches the image of a candidate; undefined when its manifest is that of another artifact. */
async function openImage({ descriptor, trail }: Candidate, fetch: FetchDocument): Promise<Selected | undefined> {
  const bytes = await fetch(descriptor)
  const manifest = parseArtifact(bytes, descriptor)
  if (manifest.kind !== 'manifest' || !isImageConfig(manifest.config.mediaType, manifest.mediaType)) return undefined
  return { descriptor, bytes, manifest, trail: [...trail, { descriptor, bytes }], platform: descriptor.platform }
}

function requireReadable(image: Selected): Selected {
  checkImage(image.manifest)
  return image
}

function noMatch(want: Platform, candidates: readonly Candidate[]): OnefoldError {
  const platforms = candidates.flatMap(({ descriptor }) => descriptor.platform ?? [])
  const names = [...new Set(platforms.map(formatPlatform))].slice(0, 50)
  const message = `Cannot find an image for ${formatPlatform(want)}: `
  if (names.length === 0) return new OnefoldError('NOT_FOUND', `${message}the index has none that says so`)
  return new OnefoldError('NOT_FOUND', `${message}the index has ${names.join(', ')}`, {
    hint: `Choose one of them with --platform, for example --platform ${names[0]}.`,
  })
}
