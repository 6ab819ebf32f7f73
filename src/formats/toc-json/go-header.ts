/**
 * Reads a tar header as Go's archive/tar shows it. The tables are made by programs in Go and compared by them, so they
 * say what Go says: names as they stand in the tar, the mode with all its bits, times that an entry of ours does not
 * keep.
 */
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
} from '../tar/tar-header.ts'
import { type PaxRecords, type Time, noRecords, paxName, paxNumber, paxTime } from '../tar/pax.ts'

export interface GoHeader {
  /** Name in bytes, one char each. */
  readonly name: string
  readonly linkName: string
  readonly userName: string
  readonly groupName: string
  readonly mode: number
  /** Size as the header says it, also where no content follows. */
  readonly size: number
  readonly major: number
  readonly minor: number
  readonly accessTime: Time | undefined
  readonly changeTime: Time | undefined
  /** Records as they stand before it, those with an empty value included. */
  readonly records: PaxRecords
  /** Extended attributes in star's records, those with an empty value included. */
  readonly xattrs: ReadonlyMap<string, Buffer>
  /** True when a global header or a volume label stands before it, which Go takes for an entry of its own. */
  readonly followsOther: boolean
}

const xattrPrefix = 'SCHILY.xattr.'
/** Fields in which GNU keeps its times: they are in use when their first byte is not NUL. */
const gnuTimes = { atime: [345, 12], ctime: [357, 12] } as const

/**
 * Reads the headers of one entry.
 * @param framing headers that a TarParser has accepted; sparse files have none
 */
export function readGoHeader(framing: Buffer): GoHeader {
  const view = viewOf(framing)
  let records: PaxRecords = noRecords
  let longName: string | undefined
  let longLink: string | undefined
  let followsOther = false
  let at = 0
  for (;;) {
    const block: Block = { bytes: framing, at, view }
    const flag = String.fromCharCode(framing[at + fields.typeflag[0]]!)
    if (!'xgLKV'.includes(flag)) return { ...headerOf(block, records, longName, longLink), followsOther }
    const size = readNumber(block, ...fields.size)
    const body = framing.subarray(at + blockBytes, at + blockBytes + size)
    if (flag === 'x') records = rawRecords(body)
    else if (flag === 'L') longName = upToNul(body)
    else if (flag === 'K') longLink = upToNul(body)
    else [records, longName, longLink, followsOther] = [noRecords, undefined, undefined, true]
    at += blockBytes + size + paddingOf(size)
  }
}

function headerOf(
  block: Block,
  records: PaxRecords,
  longName: string | undefined,
  longLink: string | undefined,
): Omit<GoHeader, 'followsOther'> {
  const dialect = dialectOf(block)
  const hasOwner = dialect !== 'v7'
  return {
    name: longName ?? paxName(given(records), 'path') ?? readName(block, dialect),
    linkName: longLink ?? paxName(given(records), 'linkpath') ?? readText(block, ...fields.linkname),
    userName: records.get('uname') || (hasOwner ? readText(block, ...fields.uname) : ''),
    groupName: records.get('gname') || (hasOwner ? readText(block, ...fields.gname) : ''),
    mode: readNumber(block, ...fields.mode),
    size: paxNumber(given(records), 'size') ?? readNumber(block, ...fields.size),
    major: hasOwner ? readNumber(block, ...fields.devmajor) : 0,
    minor: hasOwner ? readNumber(block, ...fields.devminor) : 0,
    accessTime: timeOf(block, records, 'atime'),
    changeTime: timeOf(block, records, 'ctime'),
    records,
    xattrs: xattrsOf(records),
  }
}

/** Leaves out empty values, which say nothing. */
function given(records: PaxRecords): PaxRecords {
  return records.size === 0 ? records : new Map([...records].filter(([, value]) => value !== ''))
}

function timeOf(block: Block, records: PaxRecords, key: 'atime' | 'ctime'): Time | undefined {
  const time = paxTime(given(records), key)
  if (time !== undefined || dialectOf(block) !== 'gnu') return time
  const [offset, length] = gnuTimes[key]
  const seconds = block.bytes[block.at + offset] === 0 ? Number.NaN : readNumber(block, offset, length)
  return Number.isSafeInteger(seconds) ? { seconds, nanoseconds: 0 } : undefined
}

function xattrsOf(records: PaxRecords): Map<string, Buffer> {
  const xattrs = new Map<string, Buffer>()
  for (const [key, value] of records)
    if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), Buffer.from(value, 'latin1'))
  return xattrs
}

/** Parses all records, also those whose empty value takes a key away: Go shows them. */
function rawRecords(body: Buffer): PaxRecords {
  const records = new Map<string, string>()
  for (let at = 0; at < body.length;) {
    const keyAt = body.indexOf(0x20, at) + 1
    const end = at + Number(body.toString('latin1', at, keyAt - 1))
    const equalsAt = body.indexOf(0x3d, keyAt)
    records.set(body.toString('latin1', keyAt, equalsAt), body.toString('latin1', equalsAt + 1, end - 1))
    at = end
  }
  return records
}

function upToNul(bytes: Buffer): string {
  const nul = bytes.indexOf(0)
  return bytes.toString('latin1', 0, nul === -1 ? bytes.length : nul)
}
