/**
 * Lists a tar as the reference does, which takes what Go's archive/tar says of each header: names as they are written,
 * with a directory's slash, modes whole, pax records raw. Our own entries are cleaned, so the headers are read a second
 * time here, from the framing that the parser hands over.
 */
import { OnefoldError } from '../../error.ts'
import type { Entry } from '../entry.ts'
import { quoteName } from '../path.ts'
import { blockBytes, paddingOf } from '../tar/tar-header.ts'
import type { TarBody, TarHandler } from '../tar/tar-parser.ts'
import { readGoHeader } from '../toc-json/go-header.ts'
import { formatTime } from '../toc-json/go-time.ts'
import { typeNames } from '../toc-json/write-toc-json.ts'
import type { ZtocFile } from './ztoc.ts'

/**
 * Handler for a TarParser that lists the entries it has seen in `files`. Throws UNSUPPORTED for sparse files, as the
 * reference does.
 */
export class TarDescription implements TarHandler {
  readonly files: ZtocFile[] = []
  /** Framing since the last body. */
  #framing: Uint8Array[] = []
  #framingBytes = 0
  #position = 0
  #padding = 0
  /** Offset where the last entry ends. */
  #end = 0
  #inHeaders = true

  /** Number of bytes of the tar up to its end marker, which is where Go stops reading. */
  get tarSize(): number {
    return Math.min(this.#position, this.#end + endMarkerBytes)
  }

  framing(bytes: Uint8Array): void {
    this.#position += bytes.length
    if (!this.#inHeaders) return
    // Padding and headers; behind the end marker there may be any amount of anything.
    this.#framing.push(Uint8Array.from(bytes))
    this.#framingBytes += bytes.length
    if (this.#framingBytes > maxFramingBytes) this.#inHeaders = false
  }

  entry(entry: Entry, { stored, ranges }: TarBody): void {
    const framing = Buffer.concat(this.#framing)
    this.#framing = []
    this.#framingBytes = 0
    if (ranges !== undefined)
      throw new OnefoldError(
        'UNSUPPORTED',
        `Cannot index a layer: ${quoteName(entry.path)} is sparse, which SOCI cannot say`,
      )
    this.files.push(describe(framing.subarray(this.#padding), entry, this.#position, stored))
    this.#padding = paddingOf(stored)
    this.#end = this.#position + stored + this.#padding
  }

  data(bytes: Uint8Array): void {
    this.#position += bytes.length
  }

  endEntry(): void {}
}

const endMarkerBytes = 2 * blockBytes
/** Most bytes of framing, more than the parser lets through before one entry. */
const maxFramingBytes = 4 * 2 ** 20

/**
 * Describes an entry.
 * @param headers the extended headers of the entry and its own
 * @param offset where its content begins in the tar
 */
function describe(headers: Buffer, entry: Entry, offset: number, size: number): ZtocFile {
  const header = readGoHeader(headers)
  const mtime = formatTime({ seconds: entry.mtime, nanoseconds: entry.mtimeNsec })
  const type = typeNames[entry.type]
  if (mtime === undefined || type === undefined)
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot index a layer: SOCI cannot say the type or the mtime of ${quoteName(entry.path)}`,
    )
  return {
    name: header.name,
    type,
    offset,
    size,
    link: header.linkName,
    mode: header.mode,
    uid: entry.uid,
    gid: entry.gid,
    uname: header.userName,
    gname: header.groupName,
    mtime,
    major: header.major,
    minor: header.minor,
    records: header.records,
  }
}
