/**
 * Writes zstd:chunked as containers/storage does: the tar as it is, cut into frames where its files have chunks, then
 * the table, the tar-split and the footer. An entry that a table cannot hold is UNSUPPORTED.
 */
import { type Hash, createHash } from 'node:crypto'
import { type DiffId, type Digest, digestOf, parseDiffId } from '../../digest.ts'
import { type ChunkSink, RollsumChunker } from '../chunking/rollsum.ts'
import { type Entry, sizeOf } from '../entry.ts'
import { skippableHeader, skippableHeaderBytes, writeZstdFooter } from '../toc-json/zstd-footer.ts'
import { type Position, formatPosition } from '../toc-json/toc-annotations.ts'
import { chunkedChecksum, chunkedPosition, chunkedTarSplit } from './chunked-annotations.ts'
import type { GoHeader } from '../toc-json/go-header.ts'
import { BlobWriter, MemberBuffer } from '../toc-json/blob-members.ts'
import { TarFeed, type TocBuilder, cannotHold, checkHeld } from '../toc-json/tar-feed.ts'
import type { Time } from '../tar/pax.ts'
import { formatTime } from '../toc-json/go-time.ts'
import {
  type TocJsonEntry,
  jsonText,
  jsonXattrs,
  toGoJson,
  typeNames,
  withoutEmpty,
} from '../toc-json/write-toc-json.ts'
import type { TableFacts, WriteOptions } from '../toc-json/toc-written.ts'
import { TarSplitWriter } from './write-tar-split.ts'

/**
 * Yields the blob; returns the facts about it for a manifest.
 * @param tar tar whose pieces need to be valid only until the next is asked for
 */
export async function* writeZstdChunked(
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { compress, ahead, onLoss }: WriteOptions,
): AsyncGenerator<Uint8Array, TableFacts> {
  const members = new MemberBuffer()
  const blob = new BlobWriter(compress, ahead)
  const layer = new ChunkedLayer(members)
  const feed = new TarFeed(layer, onLoss)
  for await (const bytes of tar) {
    feed.write(bytes)
    yield* blob.write(members.take())
  }
  feed.end()
  yield* blob.flush(members)
  const splitJson = layer.split.finish()
  const split = await compress(splitJson)
  const json = layer.table(digestOf(split))
  const packed = await compress(json)
  const toc = place(blob.size, packed, json)
  const tarSplit = place(toc.end, split, splitJson)
  yield blob.add(
    Buffer.concat([
      ...[packed, split].flatMap((frame) => [skippableHeader(frame.length), frame]),
      writeZstdFooter({ toc, tarSplit }),
    ]),
  )
  return {
    ...layer.tar(),
    annotations: {
      [chunkedChecksum]: digestOf(packed),
      [chunkedPosition]: `${formatPosition(toc)}:1`,
      [chunkedTarSplit]: formatPosition(tarSplit),
    },
  }
}

function place(after: number, packed: Uint8Array, { length }: Uint8Array): Position {
  const start = after + skippableHeaderBytes
  return { start, end: start + packed.length, size: length }
}

/** Gathers the table and the tar-split while the tar goes by. */
class ChunkedLayer implements TocBuilder {
  readonly split = new TarSplitWriter()
  readonly #members: MemberBuffer
  readonly #files: ListedFile[] = []
  readonly #tarHash = createHash('sha256')
  #tarSize = 0
  #chunks: FileChunks | undefined
  #chunker: RollsumChunker | undefined

  constructor(members: MemberBuffer) {
    this.#members = members
  }

  tar(): { diffId: DiffId; tarSize: number } {
    return { diffId: parseDiffId(`sha256:${this.#tarHash.digest('hex')}`), tarSize: this.#tarSize }
  }

  check(entry: Entry, header: GoHeader): void {
    heldJson(entry, header)
  }

  entry(entry: Entry, header: GoHeader, padding: Buffer, headers: Buffer): void {
    const json = heldJson(entry, header)
    const framing = Buffer.concat([padding, headers])
    this.#hash(framing)
    this.#members.add(framing)
    this.split.header(framing, header.name)
    const hasContent = sizeOf(entry.content) > 0
    this.#chunks = hasContent ? new FileChunks(this.#members) : undefined
    this.#chunker = this.#chunks && new RollsumChunker(this.#chunks)
    this.#files.push({ json, content: this.#chunks })
  }

  data(bytes: Uint8Array): void {
    this.#hash(bytes)
    this.split.data(bytes)
    this.#chunker?.write(bytes)
  }

  endEntry(): void {
    this.split.endEntry()
    this.#chunker?.end()
    this.#chunks?.end()
  }

  end(padding: Buffer, rest: Buffer): void {
    for (const bytes of [padding, rest]) {
      this.#hash(bytes)
      this.#members.add(bytes)
    }
    this.split.end(padding, rest)
  }

  /** Returns the table's JSON, once the last offset is known. */
  table(tarSplitDigest: Digest): Buffer {
    const entries = this.#files.flatMap(({ json, content }) => (content === undefined ? [json] : content.entries(json)))
    return Buffer.from(toGoJson({ version: 1, entries: entries.map(withoutEmpty), tarSplitDigest }))
  }

  #hash(tar: Uint8Array): void {
    this.#tarHash.update(tar)
    this.#tarSize += tar.length
  }
}

interface ListedFile {
  readonly json: TocJsonEntry
  readonly content: FileChunks | undefined
}

interface Chunk {
  offset: number
  readonly chunkOffset: number
  chunkSize: number
  chunkDigest: string
  readonly chunkType: string
}

const zeros = new Uint8Array(64 * 1024)

/** Puts the chunks of one file into frames of their own. */
class FileChunks implements ChunkSink {
  readonly #members: MemberBuffer
  readonly #chunks: Chunk[] = []
  #digest = ''
  #endOffset = 0
  #size = 0
  #chunkHash: Hash | undefined
  /** Hash of the whole, from the second chunk on; before it, the chunk is the file. */
  #fileHash: Hash | undefined

  constructor(members: MemberBuffer) {
    this.#members = members
  }

  data(bytes: Uint8Array): void {
    this.#add(bytes, '')
  }

  hole(length: number): void {
    for (let left = length; left > 0; left -= zeros.length)
      this.#add(zeros.subarray(0, Math.min(left, zeros.length)), 'zeros')
    this.cut()
  }

  cut(): void {
    this.#members.cut()
    if (this.#fileHash === undefined) this.#fileHash = this.#chunkHash!.copy()
    this.#chunks.at(-1)!.chunkDigest = `sha256:${this.#chunkHash!.digest('hex')}`
    this.#chunkHash = undefined
  }

  end(): void {
    this.#digest = `sha256:${this.#fileHash!.digest('hex')}`
    this.#members.mark((offset) => void (this.#endOffset = offset))
  }

  entries(json: TocJsonEntry): TocJsonEntry[] {
    const { name } = json
    const [first, ...more] = this.#chunks
    const whole = { digest: this.#digest, offset: first!.offset, endOffset: this.#endOffset }
    if (more.length === 0) return [{ ...json, ...whole }]
    // The reference writes what says where before how it is cut.
    const cut = ({ offset, chunkSize, chunkOffset, chunkDigest, chunkType }: Chunk, endOffset = 0): TocJsonEntry => ({
      offset,
      endOffset,
      chunkSize,
      chunkOffset,
      chunkDigest,
      chunkType,
    })
    return [
      { ...json, digest: this.#digest, ...cut(first!, this.#endOffset) },
      ...more.map((chunk) => ({ type: 'chunk', name, ...cut(chunk) })),
    ]
  }

  #add(bytes: Uint8Array, chunkType: string): void {
    if (this.#chunkHash === undefined) this.#begin(chunkType)
    this.#chunkHash!.update(bytes)
    this.#fileHash?.update(bytes)
    this.#members.add(bytes)
    this.#chunks.at(-1)!.chunkSize += bytes.length
    this.#size += bytes.length
  }

  #begin(chunkType: string): void {
    const chunk: Chunk = { offset: 0, chunkOffset: this.#size, chunkSize: 0, chunkDigest: '', chunkType }
    this.#chunks.push(chunk)
    this.#chunkHash = createHash('sha256')
    this.#members.cut()
    this.#members.mark((offset) => void (chunk.offset = offset))
  }
}

function heldJson(entry: Entry, header: GoHeader): TocJsonEntry {
  if (header.followsOther) throw cannotHold(entry.path, 'a global header')
  const json = jsonOf(entry, header)
  checkHeld(json, entry)
  return json
}

/** The JSON of an entry, its members in the order of the reference's structure, up to `digest`. */
function jsonOf(entry: Entry, header: GoHeader): TocJsonEntry {
  return {
    type: typeNames[entry.type],
    name: jsonText(header.name, 'its name'),
    linkName: jsonText(header.linkName, 'its target'),
    mode: header.mode,
    size: header.size,
    uid: entry.uid,
    gid: entry.gid,
    modtime: timeText(entry, { seconds: entry.mtime, nanoseconds: entry.mtimeNsec }),
    accesstime: timeText(entry, header.accessTime),
    changetime: timeText(entry, header.changeTime),
    devMajor: header.major,
    devMinor: header.minor,
    xattrs: jsonXattrs(header.xattrs),
  }
}

function timeText({ path }: Entry, time: Time | undefined): string | undefined {
  if (time === undefined) return undefined
  const text = formatTime(time)
  if (text === undefined) throw cannotHold(path, 'a time beyond the year 9999 or before 0')
  return text
}
