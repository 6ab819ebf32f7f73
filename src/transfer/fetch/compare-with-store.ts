/** Reads the indexes of layers and compares them with what the store holds: what would have to be fetched of each. */
import type { Digest } from '../../digest.ts'
import { canProve } from '../../formats/content-digests.ts'
import type { ContentIndex } from '../../formats/content-index.ts'
import { sizeOf } from '../../formats/entry.ts'
import type { Claim } from '../../formats/format.ts'
import type { Source } from '../../sources/source.ts'
import {
  type ChunkPlace,
  type Contents,
  type HeldFile,
  type WantedChunks,
  cutMin,
} from '../../store/index/held-contents.ts'
import type { WantedLayer } from '../pull/import-layers.ts'
import { type LayerClaims, findClaims } from './find-claims.ts'
import { type Candidate, type LayerOutlook, type OutlookOptions, decide, wholeLayer } from './layer-outlook.ts'
import { type Held, type PartialLayer, planLayers, wantedFiles } from './plan-layers.ts'
import { readIndex } from './read-index.ts'
import { SourceAnswers } from './source-answers.ts'

/** Number of indexes that are read side by side. */
const indexLanes = 6

export async function compareWithStore(
  source: Source,
  layers: readonly WantedLayer[],
  options: OutlookOptions,
): Promise<ReadonlyMap<WantedLayer, LayerOutlook>> {
  const outlooks = new Map<WantedLayer, LayerOutlook>()
  const readable = new Map<WantedLayer, ReadableLayer>()
  await readIndexes(source, layers, options, (layer, reading) => {
    if ('candidate' in reading) readable.set(layer, reading)
    else outlooks.set(layer, reading)
  })
  if (readable.size === 0) return outlooks
  options.onProgress?.({ type: 'step', step: 'comparing with the store' })
  // Lower layers first: what one brings, those above it take.
  const sorted = layers.flatMap((layer) => readable.get(layer) ?? [])
  const parts = sorted.map(({ candidate, index }) => ({ blob: candidate.blob, index }))
  using contents = await options.store.contents()
  const plans = planLayers(parts, await findHeld(parts, contents, options), options.limits)
  options.onProgress?.({ type: 'step', step: 'pulling' })
  for (const [place, { layer, candidate }] of sorted.entries()) {
    const planned = plans[place]
    if (planned === undefined) throw new Error('every index has a plan')
    outlooks.set(layer, decide(candidate, planned, options.policy))
  }
  return outlooks
}

interface ReadableLayer {
  readonly layer: WantedLayer
  readonly candidate: Candidate
  readonly index: ContentIndex
}

async function readIndexes(
  source: Source,
  layers: readonly WantedLayer[],
  options: OutlookOptions,
  take: (layer: WantedLayer, reading: ReadableLayer | LayerOutlook) => void,
): Promise<void> {
  const claims = await claimsOn(source, layers, options)
  const queue = [...layers]
  const lane = async (): Promise<void> => {
    for (let layer = queue.shift(); layer !== undefined; layer = queue.shift())
      take(layer, await readLayer(source, layer, claims.get(layer.blob) ?? [], options))
  }
  await Promise.all(Array.from({ length: indexLanes }, lane))
}

/**
 * Returns the claims on indexes. An index without digests of files saves nothing: only a caller that asks for parts is
 * served by it.
 */
async function claimsOn(
  source: Source,
  layers: readonly WantedLayer[],
  { image, policy, signal }: OutlookOptions,
): Promise<LayerClaims> {
  const blobs = layers.map(({ blob }) => blob)
  return await findClaims(new SourceAnswers(source, signal), image, blobs, { unbound: policy === 'always' })
}

async function readLayer(
  source: Source,
  layer: WantedLayer,
  claims: readonly Claim[],
  { policy, limits, signal }: OutlookOptions,
): Promise<ReadableLayer | LayerOutlook> {
  const answers = new SourceAnswers(source, signal)
  const reading = await readIndex(answers, claims, { maxEntries: limits.layerEntries })
  if (reading.index === undefined) return wholeLayer(layer, reading.why)
  const { index, claim } = reading
  if (policy !== 'always' && !hasDigests(index)) return wholeLayer(layer, 'its table has no digests of files')
  const digest = index.bound ? claim.digest : undefined
  const candidate: Candidate = {
    ...layer,
    toc: { format: index.format, ...(digest !== undefined && { digest }) },
    proof: index.tarSplit === undefined ? 'toc-only' : 'proven',
    table: answers.cost,
  }
  return { layer, candidate, index }
}

function hasDigests({ files }: ContentIndex): boolean {
  return files.every(({ entry, digests }) => canProve(digests) || sizeOf(entry.content) === 0)
}

/** Returns what the store holds of these layers: files first, then chunks of the files that it does not hold. */
async function findHeld(layers: readonly PartialLayer[], contents: Contents, options: OutlookOptions): Promise<Held> {
  const files: ReadonlyMap<Digest, HeldFile> = await contents.files(wantedFiles(layers), options)
  const chunks = new Map<Digest, ChunkPlace>()
  for (const { index } of layers) {
    const found = await contents.chunks(missingChunks(index, files), index.chunking, options)
    for (const [digest, place] of found) chunks.set(digest, place)
  }
  return { files, chunks }
}

function missingChunks({ files }: ContentIndex, held: ReadonlyMap<Digest, HeldFile>): WantedChunks[] {
  return files.flatMap(({ entry, digests: { sha256 }, extents }) => {
    const size = sizeOf(entry.content)
    if (size < cutMin || extents.length < 2 || sha256 === undefined || held.has(sha256)) return []
    return [{ path: entry.path, size, digests: extents.flatMap(({ digests }) => digests.sha256 ?? []) }]
  })
}
