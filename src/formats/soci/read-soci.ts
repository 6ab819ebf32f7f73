/**
 * Reads a zTOC as a layer with a table of contents: spans are its units, and a file's chunks are its parts of spans.
 */
import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Entry, type EntryType, noContent } from '../entry.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { cleanPath, maxPathBytes, quoteName } from '../path.ts'
import { blockBytes, paddingOf } from '../tar/tar-header.ts'
import { paxXattrs } from '../tar/pax.ts'
import { maxId, maxMajor, maxMinor, tocTypes } from '../toc-json/toc-entry.ts'
import type { TocLimits } from '../toc-json/toc-json.ts'
import { parseTime } from '../toc-json/go-time.ts'
import type { Coding } from '../../codecs/coding.ts'
import { noDigests } from '../content-digests.ts'
import type { ContentIndex, Extent, IndexedFile, Unit } from '../content-index.ts'
import { type Checkpoint, readCheckpoints } from './checkpoints.ts'
import { type Ztoc, type ZtocFile, badZtoc, readZtoc } from './ztoc.ts'

export interface SociOptions {
  /** True when the manifest binds the zTOC (version 2 of the index); a referrer could have been added by anybody. */
  readonly bound: boolean
}

/**
 * Reads the zTOC of a layer. Throws BAD_FORMAT for a table that contradicts itself or the layer, LIMIT for one that is
 * too large, UNSUPPORTED for one that is of no use here: the layer can still be pulled whole.
 */
export function readSociLayer(
  bytes: Uint8Array,
  layer: Descriptor,
  { bound }: SociOptions,
  limits: Required<TocLimits>,
): ContentIndex {
  const ztoc = readZtoc(bytes, limits)
  if (ztoc.blobSize !== layer.size)
    throw badZtoc(`it is of a layer of ${ztoc.blobSize} bytes, this one has ${layer.size}`)
  const { list } = readCheckpoints(ztoc.checkpoints, ztoc.algorithm, ztoc.spanDigests.length)
  const units = unitsOf(ztoc, list)
  const spans = new Spans(list, ztoc.tarSize)
  return {
    format: 'soci',
    scope: 'layer',
    bound,
    blobs: [layer],
    files: filesOf(ztoc, spans, limits),
    units,
    chunking: { kind: 'none' },
  }
}

function unitsOf({ spanDigests, blobSize, algorithm }: Ztoc, list: readonly Checkpoint[]): Unit[] {
  return list.map((checkpoint, i) => {
    const start = checkpoint.in - (checkpoint.bits > 0 ? 1 : 0)
    const end = list[i + 1]?.in ?? blobSize
    if (start >= end || end > blobSize)
      throw badZtoc(`span ${i} would lie from ${start} to ${end} in ${blobSize} bytes`)
    const digests = { sha256: digestOf(spanDigests[i] ?? '') }
    return { blob: 0, start, end, coding: codingOf(algorithm, checkpoint), digests }
  })
}

function codingOf(algorithm: Ztoc['algorithm'], { bits, window }: Checkpoint): Coding {
  switch (algorithm) {
    case 'gzip':
      return { kind: 'deflate', bits, window }
    case 'zstd':
      return { kind: 'zstd' }
    case 'uncompressed':
      return { kind: 'stored' }
  }
}

function digestOf(text: string): Digest {
  if (!isDigest(text)) throw badZtoc('the digest of a span is none')
  return text
}

/** Finds the spans of a range of the tar. */
class Spans {
  readonly #list: readonly Checkpoint[]
  readonly #tarSize: number
  /** Index of the current span, since files come in ascending order. */
  #at = 0

  constructor(list: readonly Checkpoint[], tarSize: number) {
    this.#list = list
    this.#tarSize = tarSize
  }

  extents(start: number, size: number): Extent[] {
    if (start + size > this.#tarSize) throw badZtoc(`a file would end at ${start + size} of ${this.#tarSize} bytes`)
    const extents: Extent[] = []
    for (let offset = 0; offset < size;) {
      while (this.#endOf(this.#at) <= start + offset) this.#at++
      const length = Math.min(size - offset, this.#endOf(this.#at) - start - offset)
      const skip = start + offset - (this.#list[this.#at]?.out ?? 0)
      extents.push({ offset, length, digests: noDigests, unit: this.#at, skip })
      offset += length
    }
    return extents
  }

  #endOf(span: number): number {
    return this.#list[span + 1]?.out ?? Number.POSITIVE_INFINITY
  }
}

function filesOf(ztoc: Ztoc, spans: Spans, limits: Required<TocLimits>): IndexedFile[] {
  const names = new Set<string>()
  let total = 0
  let header = 0
  // The reference sorts them, so a writer need not have.
  const sorted = ztoc.files.toSorted((a, b) => a.offset - b.offset)
  return sorted.map((raw) => {
    if (raw.size < 0 || raw.offset < header + blockBytes) throw badFile(raw, 'it lies within the one before it')
    header = raw.offset + raw.size + paddingOf(raw.size)
    const entry = readEntry(raw)
    if (names.has(entry.path)) throw useless(raw, 'is in it twice')
    names.add(entry.path)
    total += raw.size
    if (raw.size > limits.maxEntrySize) throw over('maxEntrySize', raw.size, limits)
    if (total > limits.maxTotal) throw over('maxTotal', total, limits)
    const extents = entry.type === 'file' ? spans.extents(raw.offset, raw.size) : []
    return { entry, digests: noDigests, extents }
  })
}

function readEntry(raw: ZtocFile): Entry {
  const type = tocTypes.get(raw.type)
  if (type === undefined) throw badFile(raw, 'its type is unknown')
  for (const key of raw.records.keys()) if (key.startsWith('GNU.sparse.')) throw useless(raw, 'is sparse')
  const path = cleanPath(raw.name)
  if (path === '' && type !== 'directory') throw badFile(raw, 'it has no name')
  const time = parseTime(raw.mtime)
  if (time === undefined) throw badFile(raw, 'its mtime is no time')
  const device = type === 'char' || type === 'block'
  return {
    path,
    type,
    mode: within(raw, 'mode', Number.MAX_SAFE_INTEGER) % 0o10000,
    uid: within(raw, 'uid', maxId),
    gid: within(raw, 'gid', maxId),
    mtime: time.seconds,
    mtimeNsec: time.nanoseconds,
    major: device ? within(raw, 'major', maxMajor) : 0,
    minor: device ? within(raw, 'minor', maxMinor) : 0,
    link: linkOf(raw, type),
    xattrs: paxXattrs(new Map([...raw.records].filter(([, value]) => value !== ''))),
    content: type === 'file' && raw.size > 0 ? { kind: 'unknown', size: raw.size } : noContent,
  }
}

function within(raw: ZtocFile, key: 'mode' | 'uid' | 'gid' | 'major' | 'minor', limit: number): number {
  const value = raw[key]
  if (value < 0 || value > limit) throw badFile(raw, `its ${key} is ${value}, at most ${limit} is possible`)
  return value
}

function linkOf(raw: ZtocFile, type: EntryType): string {
  if (type !== 'symlink' && type !== 'hardlink') return ''
  if (raw.link === '') throw badFile(raw, `a ${type} has no target`)
  if (type === 'hardlink') return cleanPath(raw.link)
  if (raw.link.length >= maxPathBytes || raw.link.includes('\0')) throw badFile(raw, 'its target cannot be one')
  return raw.link
}

function badFile(raw: ZtocFile, found: string): OnefoldError {
  return badZtoc(`the file ${quoteName(raw.name)}: ${found}`)
}

function useless(raw: ZtocFile, found: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot use a zTOC: ${quoteName(raw.name)} ${found}`, {
    hint: 'Pull the layer whole.',
  })
}

function over(limit: 'maxEntrySize' | 'maxTotal', found: number, limits: Required<TocLimits>): OnefoldError {
  return new OnefoldError(
    'LIMIT',
    `Cannot use a zTOC: files of ${found} bytes, the limit ${limit} is ${limits[limit]}`,
    {
      hint: `Raise the limit ${limit} if you trust the image.`,
    },
  )
}
