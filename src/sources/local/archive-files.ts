import type { FileHandle } from 'node:fs/promises'
import { posix } from 'node:path'
import { OnefoldError } from '../../error.ts'
import { detectCompression } from '../../codecs/detect.ts'
import type { Entry } from '../../formats/entry.ts'
import { cleanPath } from '../../formats/path.ts'
import { type TarBody, type TarHandler, TarParser } from '../../formats/tar/tar-parser.ts'
import { decoded } from './decoded.ts'
import { type FileSet, openFile, readRange } from './file-set.ts'
import { type SourceOptions, maxUnpackedBytesDefault } from '../source-options.ts'
import type { FileRange } from '../source.ts'
import { keepTemporarily } from '../temporary.ts'

/** Limit on the members of an archive; a layout of a hundred large images has some ten thousand. */
const membersMax = 200_000
/** Limit on links from member to member: `docker save` makes one step, a loop makes endless ones. */
const linksMax = 8
const blockBytes = 512

/**
 * Opens the members of a tar file as files, found by reading its headers once and seeking over the bodies. An archive
 * that is compressed as a whole cannot be sought in: it is unpacked into a temporary file first.
 */
export async function archiveFiles(path: string, options: SourceOptions): Promise<FileSet> {
  const plain = await plainArchive(path, options)
  try {
    const members = await listMembers(plain.range, path)
    return { path, locate: async (name) => locate(members, plain.range.path, path, name), close: plain.close }
  } catch (error) {
    await plain.close()
    throw error
  }
}

type Member =
  | { readonly kind: 'file'; readonly offset: number; readonly length: number }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'other'; readonly what: string }

interface PlainArchive {
  readonly range: FileRange
  readonly close: () => Promise<void>
}

async function plainArchive(path: string, options: SourceOptions): Promise<PlainArchive> {
  await using file = await openFile(path)
  const { size } = await file.stat()
  const range = { path, offset: 0, length: size }
  if (detectCompression(await head(file)) === 'none') return { range, async close() {} }
  const unpacked = decoded(
    readRange(range, { signal: options.signal, lent: true }),
    path,
    options.maxUnpackedBytes ?? maxUnpackedBytesDefault,
  )
  // Awaited here: the file is closed on the way out, and an error must find somebody listening meanwhile.
  return await keepTemporarily(unpacked, options.temporary)
}

async function head(file: FileHandle): Promise<Uint8Array> {
  const { buffer, bytesRead } = await file.read(new Uint8Array(32), 0, 32, 0)
  return buffer.subarray(0, bytesRead)
}

async function listMembers(range: FileRange, path: string): Promise<Map<string, Member>> {
  await using file = await openFile(range.path)
  const listing = new Listing()
  const window = new Window(file)
  let at = 0
  // Block by block, so that a header is the last thing written when its body is to be passed over.
  while (at < range.length && !listing.ended) {
    const block = await window.read(at, Math.min(blockBytes - (at % blockBytes), range.length - at))
    at = listing.take(block, at + block.length)
    if (at > range.length) throw cutShort(path)
  }
  listing.end()
  return listing.members
}

/** Collects members from headers alone. The last of two equal names wins, as it does when unpacking. */
class Listing implements TarHandler {
  readonly members = new Map<string, Member>()
  readonly #parser: TarParser = new TarParser(this, { maxEntries: membersMax })
  #at = 0

  get ended(): boolean {
    return this.#parser.ended
  }

  /** Takes bytes that end at offset `at`, never body; returns the offset of the next ones. */
  take(block: Uint8Array, at: number): number {
    this.#at = at
    this.#parser.write(block)
    return this.#at
  }

  end(): void {
    this.#parser.end()
  }

  entry(entry: Entry, body: TarBody): void {
    this.members.set(entry.path, memberOf(entry, body, this.#at))
    this.#parser.bodyElsewhere()
    this.#at += body.stored
  }

  framing(): void {}
  data(): void {}
  endEntry(): void {}
}

function memberOf(entry: Entry, body: TarBody, offset: number): Member {
  switch (entry.type) {
    case 'file':
      if (body.ranges !== undefined) return { kind: 'other', what: 'a sparse file' }
      return { kind: 'file', offset, length: body.stored }
    case 'hardlink':
      return { kind: 'link', target: entry.link }
    case 'symlink':
      return { kind: 'link', target: posix.resolve('/', posix.dirname(entry.path), entry.link) }
    case 'directory':
    case 'char':
    case 'block':
    case 'fifo':
    case 'socket':
      return { kind: 'other', what: `a ${entry.type}` }
  }
}

/** Finds the range of a member; links are followed inside the archive only (an absolute one starts at its top). */
function locate(
  members: ReadonlyMap<string, Member>,
  path: string,
  archive: string,
  name: string,
): FileRange | undefined {
  let member = members.get(cleanPath(name))
  for (let steps = 0; member?.kind === 'link'; steps++) {
    if (steps === linksMax)
      throw new OnefoldError(
        'BAD_FORMAT',
        `Cannot read "${name}" in "${archive}": it is a chain of more than ${linksMax} links`,
      )
    member = members.get(cleanPath(member.target))
  }
  if (member === undefined) return undefined
  if (member.kind === 'file') return { path, offset: member.offset, length: member.length }
  throw new OnefoldError('BAD_FORMAT', `Cannot read "${name}" in "${archive}": it is ${member.what}`)
}

/** Buffer that reads ahead: headers of small members lie close together. */
class Window {
  readonly #file: FileHandle
  readonly #buffer = new Uint8Array(32 * 1024)
  #start = 0
  #length = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** Reads up to `length` bytes at `at`, at most a block; fewer only at the end of the file. */
  async read(at: number, length: number): Promise<Uint8Array> {
    if (at < this.#start || at + length > this.#start + this.#length) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, this.#buffer.length, at)
      if (bytesRead === 0) throw new OnefoldError('IO', `Cannot read an archive: it shrank while it was read`)
      this.#start = at
      this.#length = bytesRead
    }
    return this.#buffer.subarray(at - this.#start, Math.min(at - this.#start + length, this.#length))
  }
}

function cutShort(path: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read archive "${path}": it is cut short`)
}
