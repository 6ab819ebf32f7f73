import type { Digest, VerityDigest } from '../../digest.ts'
import { type Descriptor, sizeOf } from '../../formats/entry.ts'
import type { TocLayer } from '../../formats/toc.ts'
import { boundToc, tocDigestOf } from '../../formats/toc-json/toc-annotations.ts'
import type { Source } from '../../sources/source.ts'
import {
  type ChunkPlace,
  type Contents,
  type HeldFile,
  type WantedChunks,
  cutMin,
  openContents,
} from '../../store/index/held-contents.ts'
import { listFolder } from '../../store/records/record-files.ts'
import type { ImportLimits } from '../import/layer-job.ts'
import type { WantedLayer } from '../pull/import-layers.ts'
import type { OnProgress } from '../progress.ts'
import { type Candidate, type LayerOutlook, type PartialPolicy, decide, noTable } from './layer-outlook.ts'
import { type Held, planLayers, wantedFiles } from './plan-layers.ts'
import { readTable } from './read-table.ts'
import { type IndexedImage, type ZtocPlace, findZtocs } from './find-ztocs.ts'

export interface OutlookOptions {
  readonly storeRoot: string
  /** Whose layers they are. */
  readonly image: IndexedImage
  readonly policy: PartialPolicy
  readonly limits: ImportLimits
  /** Keeps objects safe from garbage collection before they are looked for; nothing for who only wants to know. */
  readonly hold: (objects: readonly VerityDigest[]) => void
  readonly signal: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** Below this a whole blob is there before its table could be read. */
const blobMin = 64 * 1024
/** Tables that are read side by side. */
const tableLanes = 6

/** What is best done about each of these layers, in their order. */
export async function lookAtLayers(
  source: Source,
  layers: readonly WantedLayer[],
  options: OutlookOptions,
): Promise<LayerOutlook[]> {
  const tables = await readTables(source, layers, options)
  const readable = tables.filter((table) => 'candidate' in table)
  if (readable.length === 0) return tables.filter((table): table is LayerOutlook => 'how' in table)
  options.onProgress?.({ type: 'step', step: 'comparing with the store' })
  using contents = await openContents(options.storeRoot)
  const parts = readable.map(({ candidate, toc }) => ({ blob: candidate.blob, toc }))
  const held = await lookFor(parts, contents, options)
  const plans = planLayers(parts, held, options.limits)
  options.onProgress?.({ type: 'step', step: 'pulling' })
  let next = 0
  return tables.map((table) => {
    if (!('candidate' in table)) return table
    const planned = plans[next++]
    if (planned === undefined) throw new Error('every table has a plan')
    return decide(table.candidate, planned, options.policy)
  })
}

interface ReadableLayer {
  readonly candidate: Candidate
  readonly toc: TocLayer
}

async function readTables(
  source: Source,
  layers: readonly WantedLayer[],
  options: OutlookOptions,
): Promise<(ReadableLayer | LayerOutlook)[]> {
  const results: (ReadableLayer | LayerOutlook)[] = []
  const queue = [...layers.entries()]
  const isEmpty = listFolder(`${options.storeRoot}/objects`).length === 0
  const ztocs = await ztocsOf(source, options)
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [place, layer] = next
      const why = notWorthIt(source, layer.blob, options.policy, isEmpty)
      results[place] =
        why === undefined ? await readLayer(source, layer, ztocs.get(layer.blob.digest), options) : whole(layer, why)
    }
  }
  await Promise.all(Array.from({ length: tableLanes }, lane))
  return results
}

/** They have no digests of files, so nothing is saved by them: only who asks for parts is served by them. */
async function ztocsOf(
  source: Source,
  { image, policy, signal }: OutlookOptions,
): Promise<ReadonlyMap<Digest, ZtocPlace>> {
  return policy === 'always' ? await findZtocs(source, image, signal) : new Map()
}

/** Why a layer is pulled whole without a look at its table. */
function notWorthIt(source: Source, blob: Descriptor, policy: PartialPolicy, isEmpty: boolean): string | undefined {
  if (source.kind === 'plain') return 'it is a plain tree'
  if (policy === 'never') return 'that was asked for'
  if (policy === 'always') return undefined
  if (boundToc(blob) === undefined) return 'its manifest binds no table of contents'
  if (source.blobFile !== undefined) return 'it is on this machine'
  if (isEmpty) return 'the store is empty'
  return blob.size < blobMin ? 'it is small' : undefined
}

async function readLayer(
  source: Source,
  layer: WantedLayer,
  ztoc: ZtocPlace | undefined,
  options: OutlookOptions,
): Promise<ReadableLayer | LayerOutlook> {
  const { blob, diffId } = layer
  const { policy, limits, signal } = options
  const reading = await readTable(source, blob, {
    unbound: policy === 'always',
    maxEntries: limits.layerEntries,
    ztoc,
    signal,
  })
  const { toc } = reading
  if (toc === undefined) return whole(layer, reading.why)
  if (policy !== 'always' && !hasDigests(toc)) return whole(layer, 'its table has no digests of files')
  const digest = toc.bound ? (tocDigestOf(blob) ?? ztoc?.blob.digest) : undefined
  const candidate: Candidate = {
    blob,
    diffId,
    toc: { format: toc.format, ...(digest !== undefined && { digest }) },
    proof: toc.tarSplit === undefined ? 'toc-only' : 'proven',
    table: reading.cost,
  }
  return { candidate, toc }
}

function hasDigests({ files }: TocLayer): boolean {
  return files.every(({ entry, digest }) => digest !== undefined || sizeOf(entry.content) === 0)
}

function whole({ blob, diffId }: WantedLayer, why: string): LayerOutlook {
  return { blob, diffId, how: 'whole', why, proof: 'proven', table: noTable }
}

/** What the store holds of these layers: files first, then chunks of what is not there. */
async function lookFor(
  layers: readonly { readonly blob: Descriptor; readonly toc: TocLayer }[],
  contents: Contents,
  options: OutlookOptions,
): Promise<Held> {
  const files: ReadonlyMap<Digest, HeldFile> = await contents.files(wantedFiles(layers), options)
  const chunks = new Map<Digest, ChunkPlace>()
  for (const { toc } of layers) {
    const wanted = missingChunks(toc, files)
    const found = await contents.chunks(wanted, toc.chunking, options)
    for (const [digest, place] of found) chunks.set(digest, place)
  }
  return { files, chunks }
}

function missingChunks({ files }: TocLayer, held: ReadonlyMap<Digest, HeldFile>): WantedChunks[] {
  return files.flatMap(({ entry, digest, chunks }) => {
    const size = sizeOf(entry.content)
    if (size < cutMin || chunks.length < 2 || digest === undefined || held.has(digest)) return []
    return [{ path: entry.path, size, digests: chunks.flatMap((chunk) => chunk.digest ?? []) }]
  })
}
