/**
 * Lists a tar as the reference does, which takes what Go's archive/tar says of each header: names as they are written,
 * with a directory's slash, modes whole, pax records raw. Our own entries are cleaned, so the headers are read a second
 * time here, from the framing that the parser hands over.
 */
import { OnefoldError } from '../../error.ts'
import type { Entry, EntryType } from '../entry.ts'
import { quoteName } from '../path.ts'
import {
  type Block,
  blockBytes,
  dialectOf,
  fields,
  paddingOf,
  readName,
  readNumber,
  readText,
  viewOf,
} from '../tar/header.ts'
import type { TarBody, TarHandler } from '../tar/parse.ts'
import { formatTime } from '../toc/time.ts'
import type { ZtocFile } from './ztoc.ts'

const types: Readonly<Record<EntryType, string>> = {
  file: 'reg',
  directory: 'dir',
  symlink: 'symlink',
  hardlink: 'hardlink',
  char: 'char',
  block: 'block',
  fifo: 'fifo',
  socket: '', // no tar holds one
}

/** Give it to a TarParser; what it has seen is in `files`. Throws UNSUPPORTED for sparse files, as the reference does. */
export class TarDescription implements TarHandler {
  readonly files: ZtocFile[] = []
  /** The framing since the last body. */
  #framing: Uint8Array[] = []
  #framingBytes = 0
  #position = 0
  #padding = 0
  /** Where the last entry ends. */
  #end = 0
  #inHeaders = true

  /** Bytes of the tar up to its end marker, which is where Go stops reading. */
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
/** More than the parser lets through before one entry. */
const maxFramingBytes = 4 * 2 ** 20

/**
 * @param headers the extended headers of the entry and its own
 * @param offset where its content begins in the tar
 */
function describe(headers: Buffer, entry: Entry, offset: number, size: number): ZtocFile {
  const { records, longName, longLink } = readExtended(headers)
  const block = blockAt(headers, headers.length - blockBytes)
  const text = (key: string): string | undefined => records.get(key) || undefined
  const seconds = { seconds: entry.mtime, nanoseconds: entry.mtimeNsec }
  const mtime = formatTime(seconds)
  if (mtime === undefined)
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot index a layer: the mtime of ${quoteName(entry.path)} has no four-digit year`,
    )
  const device = dialectOf(block) !== 'v7'
  return {
    name: longName ?? text('path') ?? readName(block, dialectOf(block)),
    type: types[entry.type],
    offset,
    size,
    link: longLink ?? text('linkpath') ?? readText(block, ...fields.linkname),
    mode: readNumber(block, ...fields.mode),
    uid: entry.uid,
    gid: entry.gid,
    uname: text('uname') ?? (device ? readText(block, ...fields.uname) : ''),
    gname: text('gname') ?? (device ? readText(block, ...fields.gname) : ''),
    mtime,
    major: device ? readNumber(block, ...fields.devmajor) : 0,
    minor: device ? readNumber(block, ...fields.devminor) : 0,
    records,
  }
}

interface Extended {
  readonly records: ReadonlyMap<string, string>
  readonly longName: string | undefined
  readonly longLink: string | undefined
}

/** The parser has checked them all. Global headers say nothing, as in Go. */
function readExtended(headers: Buffer): Extended {
  let records: ReadonlyMap<string, string> = new Map()
  let longName: string | undefined
  let longLink: string | undefined
  for (let at = 0; at < headers.length - blockBytes;) {
    const block = blockAt(headers, at)
    const size = readNumber(block, ...fields.size)
    const body = headers.subarray(at + blockBytes, at + blockBytes + size)
    switch (readText(block, ...fields.typeflag)) {
      case 'x':
        records = rawRecords(body)
        break
      case 'L':
        longName = textOf(body)
        break
      case 'K':
        longLink = textOf(body)
        break
      case 'V':
        records = new Map()
        longName = longLink = undefined
    }
    at += blockBytes + size + paddingOf(size)
  }
  return { records, longName, longLink }
}

/** Also those with an empty value, which take a key away: the reference keeps them. */
function rawRecords(body: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < body.length;) {
    const keyAt = body.indexOf(' ', at) + 1
    const equals = body.indexOf('=', keyAt)
    const end = at + Number(body.toString('latin1', at, keyAt - 1))
    if (!(keyAt > at && equals > keyAt && end > equals))
      throw new Error('the parser has let a damaged pax record through')
    records.set(body.toString('latin1', keyAt, equals), body.toString('latin1', equals + 1, end - 1))
    at = end
  }
  return records
}

function textOf(body: Buffer): string {
  const end = body.indexOf(0)
  return body.toString('latin1', 0, end < 0 ? body.length : end)
}

function blockAt(bytes: Buffer, at: number): Block {
  return { bytes, at, view: viewOf(bytes) }
}
