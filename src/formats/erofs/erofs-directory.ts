/**
 * Reads directories. Their blocks are independent: a table of entries, then the names in the same order.
 *
 *     nid 8 · name offset 2 · type 1 · 0    one for each entry; the first offset tells where the table ends
 *     name name name …                      each ends where the next begins, the last at a zero or the block's end
 */
import { compareBytes } from '../flat/flat-tree.ts'
import { S_IFDIR, S_IFMT } from '../tree.ts'
import { bad, unsupported } from './erofs-error.ts'
import type { OnefoldError } from '../../error.ts'
import type { RawInode } from './erofs-inode.ts'
import { chunkBased, dirent, nameMax } from './erofs-records.ts'
import type { ErofsVolume, Span } from './erofs-volume.ts'
import { flatSpans } from './flat-data.ts'

/** A function that is told where a name lies in the image, and what it leads to. */
export type EntrySpanVisitor = (nameAt: number, nameEnd: number, nid: number, fileType: number) => void

/** Visits every entry, `.` and `..` included, in strictly ascending byte order of name. */
export function visitEntries(volume: ErofsVolume, directory: RawInode, visit: EntrySpanVisitor): void {
  const { buffer } = volume.bytes
  let previousAt = 0
  let previousLength = 0
  for (const block of directoryBlocks(volume, directory))
    visitBlock(volume, directory, block, (from, to, nid, fileType) => {
      if (compareBytes(buffer, previousAt, previousLength, from, to - from) >= 0)
        throw bad(
          `directory ${directory.nid} holds ${JSON.stringify(buffer.toString('latin1', from, to))} out of order`,
        )
      previousAt = from
      previousLength = to - from
      visit(from, to, nid, fileType)
      return false
    })
}

/** The nid under a name, or undefined. Reads a logarithmic number of the directory's blocks. */
export function findEntry(volume: ErofsVolume, directory: RawInode, name: string): number | undefined {
  const { buffer } = volume.bytes
  const block = blockOf(volume, directory, name)
  let found: number | undefined
  if (block === undefined) return undefined
  visitBlock(volume, directory, block, (nameAt, nameEnd, nid) => {
    const entry = buffer.toString('latin1', nameAt, nameEnd)
    if (entry === name) found = nid
    return entry >= name
  })
  return found
}

/** The block that holds a name if any does: the last one that does not begin behind it. */
function blockOf(volume: ErofsVolume, directory: RawInode, name: string): Span | undefined {
  const blocks = directoryBlocks(volume, directory)
  let low = 0
  let high = blocks.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (firstName(volume, directory, blocks[middle] as Span) <= name) low = middle
    else high = middle - 1
  }
  return blocks[low]
}

function firstName(volume: ErofsVolume, directory: RawInode, block: Span): string {
  let first = ''
  visitBlock(volume, directory, block, (nameAt, nameEnd) => {
    first = volume.bytes.buffer.toString('latin1', nameAt, nameEnd)
    return true
  })
  return first
}

function directoryBlocks(volume: ErofsVolume, directory: RawInode): Span[] {
  if ((directory.mode & S_IFMT) !== S_IFDIR) throw bad(`inode ${directory.nid} is no directory`)
  if (directory.layout === chunkBased) throw unsupported(`directory ${directory.nid} lies in chunks`)
  const blocks: Span[] = []
  for (const [start, end] of flatSpans(volume, directory))
    for (let at = start; at < end; at += volume.blockSize) blocks.push([at, Math.min(at + volume.blockSize, end)])
  return blocks
}

/** Visits the entries of one block until `visit` returns true. */
function visitBlock(
  { bytes }: ErofsVolume,
  directory: RawInode,
  [from, to]: Span,
  visit: (nameAt: number, nameEnd: number, nid: number, fileType: number) => boolean,
): void {
  if (from + dirent.bytes > to) throw bad(`a block of directory ${directory.nid} is too short for an entry`)
  const namesAt = bytes.u16(from + dirent.nameOffset)
  if (namesAt < dirent.bytes || namesAt % dirent.bytes !== 0 || from + namesAt > to) throw badNames(directory)
  const count = namesAt / dirent.bytes
  let nameAt = from + namesAt
  for (let i = 0; i < count; i++) {
    const at = from + i * dirent.bytes
    const nameEnd =
      i + 1 < count ? from + bytes.u16(at + dirent.bytes + dirent.nameOffset) : endOfLastName(bytes.buffer, nameAt, to)
    if (nameEnd <= nameAt || nameEnd > to || nameEnd - nameAt > nameMax) throw badNames(directory)
    if (!isName(bytes.buffer, nameAt, nameEnd)) throw badNames(directory)
    const nid = bytes.u64(at + dirent.nid, 'an entry of directory', directory.nid)
    if (visit(nameAt, nameEnd, nid, bytes.u8(at + dirent.fileType))) return
    nameAt = nameEnd
  }
}

function endOfLastName(buffer: Buffer, from: number, to: number): number {
  const zero = buffer.subarray(from, to).indexOf(0)
  return zero < 0 ? to : from + zero
}

function isName(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] === 0x2f || bytes[at] === 0) return false
  return true
}

function badNames({ nid }: RawInode): OnefoldError {
  return bad(`directory ${nid} holds names that overlap, leave their block or cannot be names`)
}
