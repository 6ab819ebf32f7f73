/** A file that is a whole image, or a layer, in one of the formats: its entries become one tar of our own making. */
import { createHash } from 'node:crypto'
import { Arena } from '../../content/arena.ts'
import { ContentCheck } from '../../content/content-check.ts'
import { driveReading } from '../../content/drive-reading.ts'
import type { RangeSource } from '../../content/range-source.ts'
import { UnitReader } from '../../content/unit-reader.ts'
import { UnitWalk } from '../../content/unit-walk.ts'
import { parseDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { canProve } from '../../formats/content-digests.ts'
import type { ContentIndex, IndexedFile } from '../../formats/content-index.ts'
import { sizeOf } from '../../formats/entry.ts'
import type { Format } from '../../formats/format.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { quoteName } from '../../formats/path.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../../formats/tar/tar-writer.ts'
import { type SourceOptions, maxUnpackedBytesDefault } from '../source-options.ts'
import type { BlobOptions, FileRange, Source } from '../source.ts'
import { openFile, readRange } from './file-set.ts'
import { madeLayer } from './made-layer.ts'
import { plainSource } from './plain-source.ts'
import { TarBatch } from './tar-batch.ts'

/** Largest window of zstd that is accepted, as a power of two. */
const zstdWindowLog = 27
/** Number of bytes of a file that are read at once. */
const readBytes = 1024 * 1024

/** Opens FILE of `NAME:FILE`. */
export async function openFormatFile(
  name: string,
  path: string,
  format: Format | undefined,
  options: SourceOptions,
): Promise<Source> {
  if (format?.file === undefined)
    throw new OnefoldError('UNSUPPORTED', `Cannot read "${name}": a file of that format is no image by itself`)
  const reader = await format.file.load()
  const range = await wholeFile(path)
  const file = await fileBlob(range, options)
  const answers = {
    range: (_: Descriptor, start: number, end: number) => readExactly(range, start, end),
    related: none,
  }
  const index = await driveReading(reader.open(file, {}), answers)
  checkSizes(index, options.maxUnpackedBytes ?? maxUnpackedBytesDefault, path)
  const tar = new IndexedTar(index, range)
  return plainSource({
    name,
    kind: index.scope === 'layer' ? 'layer' : 'plain',
    platform: options.platform,
    read: ({ signal }) => madeLayer(tar.read({ signal, lent: true }), (blob) => tar.read(blob)),
    async close() {},
  })
}

async function none(): Promise<undefined> {}

async function wholeFile(path: string): Promise<FileRange> {
  await using file = await openFile(path)
  return { path, offset: 0, length: (await file.stat()).size }
}

/** Describes the file as a blob, named by its bytes. */
async function fileBlob(range: FileRange, { signal }: SourceOptions): Promise<Descriptor> {
  const hash = createHash('sha256')
  for await (const chunk of readRange(range, { signal, lent: true })) hash.update(chunk)
  const digest = parseDigest(`sha256:${hash.digest('hex')}`)
  return { mediaType: 'application/octet-stream', digest, size: range.length }
}

async function readExactly(range: FileRange, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start)
  let filled = 0
  for await (const chunk of readRange(range, { offset: start, end, lent: true })) {
    bytes.set(chunk, filled)
    filled += chunk.length
  }
  return bytes
}

function checkSizes(index: ContentIndex, maxBytes: number, path: string): void {
  const walk = new UnitWalk(index)
  let bytes = 0
  for (const { entry, extents } of index.files) {
    bytes += sizeOf(entry.content)
    for (const extent of extents) walk.visit(extent)
  }
  if (walk.refused !== undefined) throw new OnefoldError('BAD_FORMAT', `Cannot read "${path}": ${walk.refused}`)
  if (Math.max(bytes, walk.decodedBytes) <= maxBytes && !walk.isScattered(bytes)) return
  throw new OnefoldError('LIMIT', `Cannot read "${path}": it unfolds to more than ${maxBytes} bytes`, {
    hint: 'Raise the limit if you trust the image.',
  })
}

/** Tar of the entries of an index, the same bytes each time as long as nobody writes to the file. */
class IndexedTar {
  readonly #index: ContentIndex
  readonly #ranges: RangeSource

  constructor(index: ContentIndex, file: FileRange) {
    this.#index = index
    this.#ranges = {
      fetch: async (_, at, end) => ({ start: at, bytes: await readExactly(file, at, Math.min(end, at + readBytes)) }),
    }
  }

  async *read({ offset = 0, signal, lent = false }: BlobOptions): AsyncGenerator<Uint8Array> {
    const batch = new TarBatch(lent)
    let left = offset
    for await (const piece of this.#pieces(signal)) {
      const wanted = piece.subarray(Math.min(left, piece.length))
      left -= piece.length - wanted.length
      yield* batch.add(wanted)
    }
    yield* batch.rest()
  }

  async *#pieces(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    // What is handed out is copied before more is asked for, so nothing is lost when the arena begins anew.
    using units = new UnitReader(this.#index, { arena: new Arena(() => {}), ranges: this.#ranges, zstdWindowLog })
    for (const file of this.#index.files) {
      signal?.throwIfAborted()
      const size = sizeOf(file.entry.content)
      yield writeTarHeader(file.entry, size, { sockets: 'fileType' })
      yield* contentOf(file, units)
      yield tarPadding(size)
    }
    await units.finish()
    yield tarTrailer()
  }
}

const zeros = new Uint8Array(64 * 1024)

async function* contentOf({ entry, digests, extents }: IndexedFile, units: UnitReader): AsyncGenerator<Uint8Array> {
  const what = quoteName(entry.path)
  const whole = ContentCheck.of(digests, what)
  for (const { unit, skip, length, digests: own } of extents) {
    const check = canProve(own) && extents.length > 1 ? ContentCheck.of(own, what) : undefined
    for await (const bytes of unit === undefined ? zeroBytes(length) : units.read(unit, skip, length)) {
      whole?.update(bytes)
      check?.update(bytes)
      yield bytes
    }
    check?.finish()
  }
  whole?.finish()
}

async function* zeroBytes(length: number): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; done += zeros.length) yield zeros.subarray(0, Math.min(zeros.length, length - done))
}
