/**
 * zTOC 0.9: the table of contents that SOCI keeps beside an image, one for each layer. It says where every file begins
 * in the uncompressed tar, and how to start decompressing in the middle of the layer.
 *
 *     Ztoc             version · build tool · bytes of the layer · bytes of its tar · TOC · CompressionInfo
 *     FileMetadata     name · type · offset · size · link · mode · uid · gid · uname · gname · mtime · major · minor · pax records
 *     CompressionInfo  algorithm · last span · sha256 of each span · checkpoints
 *
 * A FlatBuffer without prefix or compression. Source: soci-snapshotter's ztoc.fbs and ztoc_marshaler.go.
 */
import { OnefoldError } from '../../error.ts'
import { FlatBuilder, type Offset } from './flatbuffer-write.ts'
import { Table } from './flatbuffer-read.ts'

export interface Ztoc {
  readonly buildTool: string
  /** Size of the layer's blob, in bytes. */
  readonly blobSize: number
  /** Size of the layer's tar, in bytes. */
  readonly tarSize: number
  /** Files in the order of the tar. */
  readonly files: readonly ZtocFile[]
  readonly algorithm: ZtocAlgorithm
  /** `sha256:…` of each span as it lies in the blob. */
  readonly spanDigests: readonly string[]
  /** Checkpoints as checkpoints.ts reads and writes them. */
  readonly checkpoints: Uint8Array
}

/** Compression of the layer. `zstd` is no part of SOCI: its own tools refuse such a table. */
export type ZtocAlgorithm = 'gzip' | 'uncompressed' | 'zstd'

/** One header of the tar, with what Go's archive/tar makes of it. Strings have one char per byte. */
export interface ZtocFile {
  readonly name: string
  readonly type: string
  /** Offset of the content in the tar. */
  readonly offset: number
  readonly size: number
  readonly link: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly uname: string
  readonly gname: string
  /** Modification time as RFC 3339 writes it. */
  readonly mtime: string
  readonly major: number
  readonly minor: number
  /** Raw pax records: xattrs have the prefix `SCHILY.xattr.`. */
  readonly records: ReadonlyMap<string, string>
}

export interface ZtocLimits {
  readonly maxEntries: number
}

const version = '0.9'
const algorithms: readonly (ZtocAlgorithm | undefined)[] = [undefined, 'gzip', 'uncompressed', 'zstd']

const ztocField = { version: 0, buildTool: 1, blobSize: 2, tarSize: 3, toc: 4, compression: 5 } as const
const tocField = { files: 0 } as const
const compressionField = { algorithm: 0, lastSpan: 1, spanDigests: 2, checkpoints: 3 } as const
const xattrField = { key: 0, value: 1 } as const
const fileField = {
  name: 0,
  type: 1,
  offset: 2,
  size: 3,
  link: 4,
  mode: 5,
  uid: 6,
  gid: 7,
  uname: 8,
  gname: 9,
  mtime: 10,
  major: 11,
  minor: 12,
  records: 13,
} as const

/** Most pax records in front of one entry; the tar reader's own bound is in bytes. */
const maxRecords = 1000

/**
 * Reads a zTOC. Throws BAD_FORMAT for what is none or contradicts itself, LIMIT for too many files, UNSUPPORTED for
 * another version.
 */
export function readZtoc(bytes: Uint8Array, limits: ZtocLimits): Ztoc {
  const root = Table.root(bytes)
  if (root.string(ztocField.version) !== version)
    throw new OnefoldError('UNSUPPORTED', `Cannot read a zTOC: its version is not ${version}`)
  const toc = root.table(ztocField.toc)
  const compression = root.table(ztocField.compression)
  if (toc === undefined || compression === undefined) throw badZtoc('it has no table of files or no spans')
  const algorithm = algorithms[compression.int8(compressionField.algorithm, 1)]
  if (algorithm === undefined)
    throw new OnefoldError('UNSUPPORTED', 'Cannot read a zTOC: its layer is compressed in a way that is unknown')
  const spans = compression.count(compressionField.spanDigests)
  if (spans !== compression.int32(compressionField.lastSpan) + 1)
    throw badZtoc(
      `it has the digests of ${spans} spans and says the last is ${compression.int32(compressionField.lastSpan)}`,
    )
  return {
    buildTool: root.string(ztocField.buildTool),
    blobSize: root.int64(ztocField.blobSize),
    tarSize: root.int64(ztocField.tarSize),
    files: readFiles(toc, limits),
    algorithm,
    spanDigests: Array.from({ length: spans }, (_, i) => compression.stringAt(compressionField.spanDigests, i)),
    checkpoints: compression.bytes(compressionField.checkpoints),
  }
}

function readFiles(toc: Table, { maxEntries }: ZtocLimits): ZtocFile[] {
  const count = toc.count(tocField.files)
  if (count > maxEntries)
    throw new OnefoldError('LIMIT', `Cannot read a zTOC: it has ${count} files, the limit maxEntries is ${maxEntries}`)
  return Array.from({ length: count }, (_, i) => readFile(toc.tableAt(tocField.files, i)))
}

function readFile(table: Table): ZtocFile {
  return {
    name: table.string(fileField.name),
    type: table.string(fileField.type),
    offset: table.int64(fileField.offset),
    size: table.int64(fileField.size),
    link: table.string(fileField.link),
    mode: table.int64(fileField.mode),
    uid: table.uint32(fileField.uid),
    gid: table.uint32(fileField.gid),
    uname: table.string(fileField.uname),
    gname: table.string(fileField.gname),
    mtime: table.string(fileField.mtime),
    major: table.int64(fileField.major),
    minor: table.int64(fileField.minor),
    records: readRecords(table),
  }
}

const noRecords: ReadonlyMap<string, string> = new Map()

function readRecords(table: Table): ReadonlyMap<string, string> {
  const count = table.count(fileField.records)
  if (count === 0) return noRecords
  if (count > maxRecords) throw badZtoc(`a file has ${count} pax records`)
  const records = new Map<string, string>()
  for (let i = 0; i < count; i++) {
    const record = table.tableAt(fileField.records, i)
    records.set(record.string(xattrField.key), record.string(xattrField.value))
  }
  return records
}

/** Writes the bytes that soci-snapshotter writes for the same table. */
export function writeZtoc(ztoc: Ztoc): Uint8Array {
  const builder = new FlatBuilder(ztoc.checkpoints.length + 256 * ztoc.files.length + 4096)
  const versionAt = builder.string(version)
  const buildTool = builder.string(ztoc.buildTool)
  const toc = writeToc(builder, ztoc.files)
  const compression = writeCompression(builder, ztoc)
  builder.startTable(6)
  builder.addOffset(ztocField.version, versionAt)
  builder.addOffset(ztocField.buildTool, buildTool)
  builder.addOffset(ztocField.toc, toc)
  builder.addInt64(ztocField.blobSize, ztoc.blobSize)
  builder.addInt64(ztocField.tarSize, ztoc.tarSize)
  builder.addOffset(ztocField.compression, compression)
  return builder.finish(builder.endTable())
}

function writeToc(builder: FlatBuilder, files: readonly ZtocFile[]): Offset {
  // From the last to the first, as the reference does.
  const offsets = files.toReversed().map((file) => writeFile(builder, file))
  const vector = builder.vector(offsets.reverse())
  builder.startTable(1)
  builder.addOffset(tocField.files, vector)
  return builder.endTable()
}

function writeFile(builder: FlatBuilder, file: ZtocFile): Offset {
  const name = builder.string(file.name)
  const type = builder.string(file.type)
  const link = builder.string(file.link)
  const uname = builder.string(file.uname)
  const gname = builder.string(file.gname)
  const mtime = builder.string(file.mtime)
  const records = writeRecords(builder, file.records)
  builder.startTable(14)
  builder.addOffset(fileField.name, name)
  builder.addOffset(fileField.type, type)
  builder.addInt64(fileField.offset, file.offset)
  builder.addInt64(fileField.size, file.size)
  builder.addOffset(fileField.link, link)
  builder.addInt64(fileField.mode, file.mode)
  builder.addInt32(fileField.uid, file.uid)
  builder.addInt32(fileField.gid, file.gid)
  builder.addOffset(fileField.uname, uname)
  builder.addOffset(fileField.gname, gname)
  builder.addOffset(fileField.mtime, mtime)
  builder.addInt64(fileField.major, file.major)
  builder.addInt64(fileField.minor, file.minor)
  builder.addOffset(fileField.records, records)
  return builder.endTable()
}

/** Writes records in byte order of their keys. */
function writeRecords(builder: FlatBuilder, records: ReadonlyMap<string, string>): Offset {
  const sorted = [...records].sort(([a], [b]) => (a < b ? -1 : 1))
  const offsets = sorted.map(([key, value]) => {
    const keyAt = builder.string(key)
    const valueAt = builder.string(value)
    builder.startTable(2)
    builder.addOffset(xattrField.key, keyAt)
    builder.addOffset(xattrField.value, valueAt)
    return builder.endTable()
  })
  return builder.vector(offsets)
}

function writeCompression(builder: FlatBuilder, { algorithm, spanDigests, checkpoints }: Ztoc): Offset {
  const checkpointsAt = builder.bytes(checkpoints)
  const digests = builder.vector(spanDigests.map((digest) => builder.string(digest)))
  builder.startTable(4)
  builder.addInt32(compressionField.lastSpan, spanDigests.length - 1)
  builder.addOffset(compressionField.spanDigests, digests)
  builder.addOffset(compressionField.checkpoints, checkpointsAt)
  builder.addInt8(compressionField.algorithm, algorithms.indexOf(algorithm), 1)
  return builder.endTable()
}

export function badZtoc(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read a zTOC: ${found}`)
}
