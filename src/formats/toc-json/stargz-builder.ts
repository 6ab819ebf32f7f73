import { type Hash, createHash } from 'node:crypto'
import { type DiffId, digestOf, parseDiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { pathToUtf8 } from '../../paths.ts'
import { type Entry, newEntry, sizeOf } from '../entry.ts'
import { quoteName } from '../path.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../tar/tar-writer.ts'
import type { GoHeader } from './go-header.ts'
import type { MemberBuffer } from './blob-members.ts'
import { landmarkByte, noPrefetchLandmark, prefetchLandmark, stargzOwnFiles, tocName } from './stargz-own-files.ts'
import { type TocBuilder, cannotHold, checkHeld } from './tar-feed.ts'
import { formatTime } from './go-time.ts'
import { type TocJsonEntry, jsonText, jsonXattrs, toGoJson, typeNames, withoutEmpty } from './write-toc-json.ts'

/** Options of write-stargz.ts, with all defaults. */
export interface StargzRules {
  readonly chunkSize: number
  readonly minChunkSize: number
  readonly prioritized: number
  readonly keepTar: boolean
  /** Whether the table is the last entry of the tar, with the tar's end behind it. */
  readonly endsWithToc: boolean
}

const emptyDigest = digestOf('')

/** Gathers what the table says while the tar goes by, and puts chunks into members. */
export class StargzLayer implements TocBuilder {
  readonly #members: MemberBuffer
  readonly #rules: StargzRules
  readonly #parts: (() => TocJsonEntry[])[] = []
  readonly #tarHash = createHash('sha256')
  #tarSize = 0
  /** Number of entries of the tar so far that are in the table. */
  #count = 0
  #hasLandmark = false
  /** Whether the entry before, or the current one, is left out. */
  #dropped = false
  #sawLandmark = false
  #file: ChunkedFile | undefined
  /** The last member that a chunk may be in: where it begins, and how far it goes. */
  #member: MemberPlace | undefined
  readonly #names = new OwnerNames()

  constructor(members: MemberBuffer, rules: StargzRules) {
    this.#members = members
    this.#rules = rules
  }

  check(entry: Entry, header: GoHeader): void {
    if (!stargzOwnFiles.names.includes(entry.path)) heldJson(entry, header, new OwnerNames())
  }

  entry(entry: Entry, header: GoHeader, padding: Buffer, headers: Buffer): void {
    if (!this.#dropped) this.#add(padding)
    this.#dropped = this.#isOwn(entry)
    if (this.#dropped) return
    if (this.#count++ === this.#rules.prioritized) this.#addLandmark()
    this.#add(headers)
    this.#begin(entry, heldJson(entry, header, this.#names))
  }

  data(bytes: Uint8Array): void {
    if (!this.#dropped) this.#file!.data(bytes)
  }

  endEntry(): void {
    if (!this.#dropped) this.#file?.end()
  }

  end(padding: Buffer, rest: Buffer): void {
    if (!this.#dropped) this.#add(padding)
    this.#addLandmark()
    if (this.#rules.keepTar) this.#add(rest)
    else if (!this.#rules.endsWithToc) this.#add(tarTrailer())
  }

  /** Returns the table's JSON, once the last offset is known. */
  table(): Buffer {
    const entries = this.#parts.flatMap((part) => part()).map(withoutEmpty)
    return Buffer.from(toGoJson({ version: 1, entries }, '\t'))
  }

  /** Takes bytes of the tar that do not go through `members`. */
  hash(tar: Uint8Array): void {
    this.#tarHash.update(tar)
    this.#tarSize += tar.length
  }

  tar(): { diffId: DiffId; tarSize: number } {
    return { diffId: parseDiffId(`sha256:${this.#tarHash.digest('hex')}`), tarSize: this.#tarSize }
  }

  #add(bytes: Uint8Array): void {
    this.hash(bytes)
    this.#members.add(bytes)
    if (this.#member !== undefined) this.#member.length += bytes.length
  }

  #begin(entry: Entry, json: TocJsonEntry): void {
    const size = sizeOf(entry.content)
    this.#file = undefined
    if (entry.type !== 'file') this.#parts.push(() => [json])
    else if (size === 0) this.#parts.push(() => [{ ...json, digest: emptyDigest }])
    else {
      const isLandmark = entry.path === prefetchLandmark || entry.path === noPrefetchLandmark
      const file = new ChunkedFile(json, size, this.#rules.chunkSize, {
        begin: () => this.#place(isLandmark),
        add: (bytes) => this.#add(bytes),
      })
      this.#file = file
      this.#parts.push(() => file.entries())
    }
  }

  /** Tells where a chunk will lie that begins now. */
  #place(isAlone: boolean): ChunkPlace {
    if (this.#member === undefined || isAlone || this.#member.length >= this.#rules.minChunkSize) {
      this.#members.cut()
      const member: MemberPlace = { offset: 0, length: 0 }
      this.#members.mark((offset) => void (member.offset = offset))
      this.#member = member
    }
    return { member: this.#member, inner: this.#member.length }
  }

  #addLandmark(): void {
    if (this.#rules.keepTar || this.#hasLandmark) return
    this.#hasLandmark = true
    const entry = ownEntry(this.#rules.prioritized === 0 ? noPrefetchLandmark : prefetchLandmark, 1)
    this.#add(writeTarHeader(entry, 1))
    this.#begin(entry, { name: entry.path, type: 'reg', size: 1 })
    this.#file!.data(Buffer.of(landmarkByte))
    this.#file!.end()
    this.#file = undefined
    this.#add(tarPadding(1))
  }

  /**
   * A layer that was eStargz before gets a new landmark and a new table. A file that only bears such a name cannot be in
   * eStargz, whose readers hide it.
   */
  #isOwn({ path, type, content }: Entry): boolean {
    if (path === tocName) {
      if (!this.#rules.keepTar && this.#sawLandmark && type === 'file') return true
      throw reserved(path)
    }
    if (path !== prefetchLandmark && path !== noPrefetchLandmark) return false
    if (this.#rules.keepTar || type !== 'file' || sizeOf(content) !== 1) throw reserved(path)
    this.#sawLandmark = true
    return true
  }
}

interface MemberPlace {
  offset: number
  length: number
}

interface ChunkPlace {
  readonly member: MemberPlace
  readonly inner: number
}

interface ChunkTarget {
  begin(): ChunkPlace
  add(bytes: Uint8Array): void
}

/** Cuts one file into chunks. */
class ChunkedFile {
  readonly #json: TocJsonEntry
  readonly #size: number
  readonly #chunkSize: number
  readonly #target: ChunkTarget
  readonly #chunks: { readonly place: ChunkPlace; readonly offset: number; digest: string }[] = []
  #done = 0
  #chunkHash: Hash | undefined
  /** Hash of the whole, from the second chunk on; before it, the chunk is the file. */
  #fileHash: Hash | undefined
  #digest = ''

  constructor(json: TocJsonEntry, size: number, chunkSize: number, target: ChunkTarget) {
    this.#json = json
    this.#size = size
    this.#chunkSize = chunkSize
    this.#target = target
  }

  data(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#chunkHash === undefined) this.#beginChunk()
      const left = this.#chunkSize - (this.#done % this.#chunkSize)
      const part = bytes.subarray(at, at + left)
      this.#chunkHash!.update(part)
      this.#fileHash?.update(part)
      this.#target.add(part)
      this.#done += part.length
      at += part.length
      if (this.#done % this.#chunkSize === 0 || this.#done === this.#size) this.#endChunk()
    }
  }

  end(): void {
    this.#digest = `sha256:${this.#fileHash!.digest('hex')}`
  }

  entries(): TocJsonEntry[] {
    return this.#chunks.map(({ place, offset, digest }, i) => {
      const name = this.#json['name']
      const head: TocJsonEntry = i === 0 ? this.#json : { name, type: 'chunk' }
      // The last chunk goes to the end of the file unless it is a full one.
      const chunkSize = this.#size - offset >= this.#chunkSize ? this.#chunkSize : 0
      const { devMajor, devMinor, xattrs, ...before } = head
      return {
        ...before,
        offset: place.member.offset,
        innerOffset: place.inner,
        devMajor,
        devMinor,
        xattrs,
        digest: i === 0 ? this.#digest : '',
        chunkOffset: offset,
        chunkSize,
        chunkDigest: digest,
      }
    })
  }

  #beginChunk(): void {
    this.#chunks.push({ place: this.#target.begin(), offset: this.#done, digest: '' })
    this.#chunkHash = createHash('sha256')
  }

  #endChunk(): void {
    this.#fileHash ??= this.#chunkHash!.copy()
    this.#chunks.at(-1)!.digest = `sha256:${this.#chunkHash!.digest('hex')}`
    this.#chunkHash = undefined
  }
}

/** Names of owners are said once for each id, and again when they change. */
class OwnerNames {
  readonly #users = new Map<number, string>()
  readonly #groups = new Map<number, string>()

  user(id: number, name: string): string {
    return changed(this.#users, id, name)
  }

  group(id: number, name: string): string {
    return changed(this.#groups, id, name)
  }
}

function changed(names: Map<number, string>, id: number, name: string): string {
  if (name === '' || names.get(id) === name) return ''
  names.set(id, name)
  return pathToUtf8(name)
}

/** A file that eStargz adds for itself. */
export function ownEntry(path: string, size: number): Entry {
  return newEntry({ path, type: 'file', mode: 0, ...(size > 0 && { content: { kind: 'unknown', size } }) })
}

function heldJson(entry: Entry, header: GoHeader, names: OwnerNames): TocJsonEntry {
  const json = jsonOf(entry, header, names)
  checkHeld(json, entry)
  return json
}

/** The JSON of an entry, its members in the order of the reference's structure. */
function jsonOf(entry: Entry, header: GoHeader, names: OwnerNames): TocJsonEntry {
  const device = entry.type === 'char' || entry.type === 'block'
  const isLink = entry.type === 'symlink' || entry.type === 'hardlink'
  return {
    name: jsonText(header.name, 'its name'),
    type: typeNames[entry.type],
    size: sizeOf(entry.content),
    modtime: timeText(entry),
    linkName: isLink ? jsonText(header.linkName, 'its target') : '',
    mode: header.mode,
    uid: entry.uid,
    gid: entry.gid,
    userName: names.user(entry.uid, header.userName),
    groupName: names.group(entry.gid, header.groupName),
    devMajor: device ? header.major : 0,
    devMinor: device ? header.minor : 0,
    xattrs: jsonXattrs(header.xattrs),
  }
}

function timeText({ path, mtime }: Entry): string {
  if (mtime === 0) return ''
  const text = formatTime({ seconds: mtime, nanoseconds: 0 })
  if (text === undefined) throw cannotHold(path, 'a time beyond the year 9999 or before 0')
  return text
}

function reserved(path: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot write ${quoteName(path)} into eStargz: it keeps that name for itself`)
}
