import { createHash, randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError, errnoOf } from '../error.ts'
import { contentAt, setContent } from '../formats/flat/flatten.ts'
import { type FlatTree, field, floatField, inodeFloats, inodeWords, kind } from '../formats/flat/flat-tree.ts'
import { quoteName } from '../formats/path.ts'
import { S_IFLNK, S_IFMT, S_IFREG } from '../formats/tree.ts'
import { structs } from '../linux/abi.ts'
import { writeAll } from '../linux/descriptor-io.ts'
import type { StatRecord } from '../linux/stat.ts'
import { pathToBytes } from '../paths.ts'
import { scanError, scanning } from './scan-error.ts'

/**
 * A cache of what scans found out about files: digest, small content, target and whether there are extended attributes, for as long as
 * device, inode, size, mtime and ctime stay what they were.
 *
 *     header    64 bytes: magic, version, whether root made it, number of records, sha256 of all that follows
 *     record    48 bytes of identity, kind, length of payload, payload up to a multiple of 8
 *
 * Every change of a file moves its ctime, which no program can set; but ctime ticks, so what changed in the last seconds
 * before a scan is not remembered: it could change once more within a tick. (A program that had a page of a file mapped
 * for writing since before the scan can write to it for a while longer without a new ctime.)
 *
 * Whoever writes to this file chooses digests: it has to belong to the caller, and nobody else may write to it. A file
 * that is damaged, or of another version, is forgotten and made anew.
 */
const magic = 'onefold scan cache\n'
const version = 1
const headerBytes = 64
const header = { version: 20, privileged: 24, records: 28, sha256: 32 } as const
const identityBytes = 48
const record = { kind: identityBytes, length: identityBytes + 4, bytes: identityBytes + 8 } as const
/** Bits of `kind`. */
const kinds = { none: 0, digest: 1, inline: 2, text: 3, mask: 3, noXattrs: 4 } as const
const payloadMax = 4096
/** More seconds than any file system's clock takes to tick. */
const racySeconds = 2
const { stx_ino, stx_size, stx_ctime, stx_mtime, stx_dev_major } = structs.statx

/** Reads the cache, or begins an empty one. Throws DENIED for a file that somebody else can write to. */
export function openScanCache(path: string): ScanCache {
  return new ScanCache(path, readCache(path))
}

function readCache(path: string): Buffer | undefined {
  const fd = openIfThere(path)
  if (fd === undefined) return undefined
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile() || stats.uid !== process.geteuid?.() || (stats.mode & 0o022) !== 0) throw notTrusted(path)
    const bytes = scanning('read', path, () => readFileSync(fd))
    return isWhole(bytes) ? bytes : undefined
  } finally {
    closeSync(fd)
  }
}

/** Opens the cache, so that what is looked at is what is read: somebody who writes to the folder could replace the file. */
function openIfThere(path: string): number | undefined {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return openSync(pathToBytes(path), flags)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw errnoOf(error) === 'ELOOP' ? notTrusted(path) : scanError('read', path, error)
  }
}

function notTrusted(path: string): OnefoldError {
  return new OnefoldError(
    'DENIED',
    `Cannot trust the scan cache ${quoteName(path)}: somebody else could have written it`,
    { hint: 'It has to be a file of your own that only you can write to.' },
  )
}

function isWhole(bytes: Buffer): boolean {
  if (bytes.length < headerBytes || bytes.toString('latin1', 0, magic.length) !== magic) return false
  if (bytes.readUInt32LE(header.version) !== version || bytes.readUInt32LE(header.privileged) !== privileged())
    return false
  return sha256(bytes.subarray(headerBytes)).equals(bytes.subarray(header.sha256, header.sha256 + 32))
}

/** 1 for root: whoever may not see all attributes cannot say for one who may that there are none. */
function privileged(): number {
  return process.geteuid?.() === 0 ? 1 : 0
}

export class ScanCache {
  readonly #path: string
  readonly #old: Buffer | undefined
  /** `#old` as 32-bit words, which all parts of a record begin at. */
  readonly #words: Uint32Array
  /** Offsets of records in `#old`, by a hash of their identity; 0 is none. */
  readonly #slots: Uint32Array
  readonly #started = Math.floor(Date.now() / 1000)
  /** Per inode of the tree: its identity, or nothing for what is not remembered. */
  #identities = new Uint32Array(1024 * identityWords)
  #flags = new Uint8Array(1024)
  #count = 0
  #hits = 0
  #notes = 0

  constructor(path: string, old: Buffer | undefined) {
    this.#path = path
    this.#old = old
    this.#words = wordsOf(old)
    const records = Math.floor((old?.length ?? 0) / record.bytes)
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * records + 2)))
    this.#index()
  }

  #index(): void {
    const words = this.#words
    for (let at = headerBytes / 4; at + record.bytes / 4 <= words.length; at += recordWords(words, at)) {
      let slot = hashOf(words, at) & (this.#slots.length - 1)
      while (this.#slots[slot] !== 0) slot = (slot + 1) & (this.#slots.length - 1)
      this.#slots[slot] = at * 4
    }
  }

  /** The offset of a file's record, for the functions below; 0 when there is none that fits. */
  find(stat: StatRecord): number {
    const old = this.#old
    if (old === undefined) return 0
    writeIdentity(sought, 0, stat.words)
    for (let slot = hashOf(sought, 0) & (this.#slots.length - 1); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const at = this.#slots[slot] as number
      if (at === 0) return 0
      if (isSought(this.#words, at / 4)) return fits(old, at, stat) ? at : 0
    }
  }

  hasNoXattrs(at: number): boolean {
    return ((this.#words[(at + record.kind) / 4] as number) & kinds.noXattrs) !== 0
  }

  /** Undefined when the file has no object. */
  digest(at: number): VerityDigest | undefined {
    const old = this.#old
    if (old === undefined || kindAt(old, at) !== kinds.digest) return undefined
    return old.toString('hex', at + record.bytes, at + record.bytes + 32) as VerityDigest
  }

  /** Gives the new inode its content or target. */
  restore(at: number, tree: FlatTree, inode: number, size: number): void {
    const old = this.#old
    if (old === undefined) return
    const start = at + record.bytes
    if (kindAt(old, at) === kinds.digest) {
      tree.words[inode * inodeWords + field.kind] = kind.object
      tree.floats[inode * inodeFloats + floatField.size] = size
      const to = inode * inodeWords + field.digest
      for (let word = 0; word < 8; word++) tree.words[to + word] = this.#words[start / 4 + word] as number
      return
    }
    const end = start + old.readUInt32LE(at + record.length)
    if (kindAt(old, at) === kinds.text) tree.setText(inode, old.toString('latin1', start, end))
    else if (size > 0) setContent(tree, inode, { kind: 'inline', bytes: old.subarray(start, end) })
  }

  /** Remembers the inode; `hit`: what was found and used, or 0. */
  note(inode: number, stat: StatRecord, hit: number): void {
    if (inode >= this.#flags.length) this.#grow(inode)
    this.#count = Math.max(this.#count, inode + 1)
    if (stat.ctime >= this.#started - racySeconds) return
    writeIdentity(this.#identities, inode * identityWords, stat.words)
    this.#flags[inode] = noted | (hit !== 0 && this.hasNoXattrs(hit) ? kinds.noXattrs : 0)
    this.#notes++
    if (hit !== 0) this.#hits++
  }

  noteXattrs(inode: number, has: boolean): void {
    if (!has && (this.#flags[inode] as number) !== 0) this.#flags[inode] = noted | kinds.noXattrs
  }

  #grow(inode: number): void {
    const size = Math.max(2 * this.#flags.length, inode + 1)
    this.#identities = new Uint32Array(this.#identities.buffer.transfer(size * identityBytes))
    this.#flags = new Uint8Array(this.#flags.buffer.transfer(size))
  }

  /** Remembers what the scan has found; nothing is written when nothing is new. */
  save(tree: FlatTree): void {
    const records = this.#old?.readUInt32LE(header.records) ?? 0
    if (this.#hits === this.#notes && this.#notes === records) return
    const pieces: Buffer[] = [Buffer.alloc(headerBytes)]
    let count = 0
    for (let inode = 0; inode < this.#count; inode++) {
      const piece = this.#flags[inode] === 0 ? undefined : this.#record(tree, inode)
      if (piece === undefined) continue
      pieces.push(piece)
      count++
    }
    const bytes = Buffer.concat(pieces)
    bytes.write(magic, 0, 'latin1')
    bytes.writeUInt32LE(version, header.version)
    bytes.writeUInt32LE(privileged(), header.privileged)
    bytes.writeUInt32LE(count, header.records)
    sha256(bytes.subarray(headerBytes)).copy(bytes, header.sha256)
    replaceFile(this.#path, bytes)
  }

  #record(tree: FlatTree, inode: number): Buffer {
    const { of, payload } = payloadOf(tree, inode)
    const bytes = Buffer.alloc(record.bytes + Math.ceil(payload.length / 8) * 8)
    bytes.set(new Uint8Array(this.#identities.buffer, inode * identityBytes, identityBytes))
    bytes.writeUInt32LE(of | ((this.#flags[inode] as number) & kinds.noXattrs), record.kind)
    bytes.writeUInt32LE(payload.length, record.length)
    payload.copy(bytes, record.bytes)
    return bytes
  }
}

const noted = 0x80
const identityWords = identityBytes / 4
const sought = new Uint32Array(identityWords)
/** Device, inode, size, mtime and ctime: words of struct statx. */
const identityFields = Uint32Array.from(
  [
    [stx_dev_major, 2],
    [stx_ino, 2],
    [stx_size, 2],
    [stx_mtime, 2],
    [stx_ctime, 2],
    [stx_mtime + 8, 1],
    [stx_ctime + 8, 1],
  ].flatMap(([at = 0, words = 0]) => Array.from({ length: words }, (_, i) => at / 4 + i)),
)

/** Copies the fields of an identity as the kernel gives them. */
function writeIdentity(to: Uint32Array, at: number, stat: Uint32Array): void {
  for (let i = 0; i < identityWords; i++) to[at + i] = stat[identityFields[i] as number] as number
}

function isSought(words: Uint32Array, at: number): boolean {
  for (let i = 0; i < identityWords; i++) if (words[at + i] !== sought[i]) return false
  return true
}

function hashOf(words: Uint32Array, at: number): number {
  const mixed = Math.imul((words[at + 2] as number) ^ ((words[at + 1] as number) << 20), 0x9e3779b1)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

function recordWords(words: Uint32Array, at: number): number {
  const length = Math.min(words[at + record.length / 4] as number, payloadMax)
  return record.bytes / 4 + Math.ceil(length / 8) * 2
}

/** Views bytes as words. Every machine that this runs on has the least byte of a word first. */
function wordsOf(bytes: Buffer | undefined): Uint32Array {
  if (bytes === undefined) return new Uint32Array(0)
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes)
  return new Uint32Array(aligned.buffer, aligned.byteOffset, Math.floor(bytes.length / 4))
}

function kindAt(old: Buffer, at: number): number {
  return old.readUInt32LE(at + record.kind) & kinds.mask
}

/** Whether the record is one that such a file can have. */
function fits(old: Buffer, at: number, { mode, size }: StatRecord): boolean {
  const length = old.readUInt32LE(at + record.length)
  if (at + record.bytes + length > old.length) return false
  switch (mode & S_IFMT) {
    case S_IFLNK:
      return kindAt(old, at) === kinds.text && length > 0 && length < payloadMax
    case S_IFREG:
      if (size === 0) return kindAt(old, at) === kinds.none
      return kindAt(old, at) === kinds.digest ? length === 32 : kindAt(old, at) === kinds.inline && length === size
    default:
      return kindAt(old, at) === kinds.none
  }
}

function payloadOf(tree: FlatTree, inode: number): { of: number; payload: Buffer } {
  const type = tree.mode(inode) & S_IFMT
  if (type === S_IFLNK) return { of: kinds.text, payload: pathToBytes(tree.text(inode)) }
  const content = contentAt(tree, inode)
  if (type !== S_IFREG || content.kind === 'empty') return { of: kinds.none, payload: Buffer.alloc(0) }
  if (content.kind === 'inline') return { of: kinds.inline, payload: Buffer.from(content.bytes) }
  return { of: kinds.digest, payload: Buffer.from(tree.digest(inode), 'hex') }
}

/** Replaces the file in one step. It need not survive a power cut: the sum in its header tells. */
function replaceFile(path: string, bytes: Buffer): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  try {
    const fd = openSync(pathToBytes(temporary), 'wx', 0o600)
    try {
      writeAll(fd, bytes)
      if (fstatSync(fd).size !== bytes.length) throw new RangeError('the scan cache was cut short')
    } finally {
      closeSync(fd)
    }
    renameSync(pathToBytes(temporary), pathToBytes(path))
  } catch (error) {
    rmSync(pathToBytes(temporary), { force: true })
    throw error
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
