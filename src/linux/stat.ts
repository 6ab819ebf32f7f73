import { STATX_BASIC_STATS, at, structs } from './abi.ts'
import { cString, isErrno, libcCall } from './libc.ts'

const call = libcCall('statx', 'ipiip')
const layout = structs.statx
/** Longest name in a directory, without its NUL; a buffer for each call would be garbage a moment later. */
const nameMax = 255
const nameBytes = Buffer.alloc(nameMax + 1)

/**
 * Result of statx(2) in one record that is used again and again: a scan asks about every file of a system, and the
 * objects that `lstatSync` makes would cost more than the calls. Fields are those of the last call.
 */
export class StatRecord {
  readonly bytes: Buffer = Buffer.from(new ArrayBuffer(layout.size))
  /** Same memory as `bytes`, as 32-bit words. */
  readonly words: Uint32Array
  readonly #view: DataView

  constructor() {
    const { buffer } = this.bytes
    this.words = new Uint32Array(buffer, 0, layout.size / 4)
    this.#view = new DataView(buffer, 0, layout.size)
  }

  /**
   * Reads a name in an open directory, one char per byte; a symlink means itself. With an empty name, the directory.
   */
  read(directory: number, name: string): void {
    const flags = at.AT_SYMLINK_NOFOLLOW | (name === '' ? at.AT_EMPTY_PATH : 0)
    const length = nameBytes.write(name, 0, nameMax, 'latin1')
    nameBytes[length] = 0
    call(name, directory, nameBytes, flags, STATX_BASIC_STATS, this.bytes)
  }

  /** Fills the record for what a path leads to, symlinks followed; false when there is nothing. */
  readPath(path: string): boolean {
    try {
      call(JSON.stringify(path), at.AT_FDCWD, cString(path), 0, STATX_BASIC_STATS, this.bytes)
      return true
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false
      throw error
    }
  }

  get mode(): number {
    return this.#view.getUint16(layout.stx_mode, true)
  }

  get uid(): number {
    return this.#view.getUint32(layout.stx_uid, true)
  }

  get gid(): number {
    return this.#view.getUint32(layout.stx_gid, true)
  }

  get nlink(): number {
    return this.#view.getUint32(layout.stx_nlink, true)
  }

  /** Size of the file; rounded beyond 2^53. */
  get size(): number {
    return this.#view.getUint32(layout.stx_size + 4, true) * 2 ** 32 + this.#view.getUint32(layout.stx_size, true)
  }

  /** Modification time in whole seconds since 1970; `mtimeNsec` is added. */
  get mtime(): number {
    return this.#seconds(layout.stx_mtime)
  }

  get mtimeNsec(): number {
    return this.#view.getUint32(layout.stx_mtime + 8, true)
  }

  get ctime(): number {
    return this.#seconds(layout.stx_ctime)
  }

  get ctimeNs(): bigint {
    const nanoseconds = this.#view.getUint32(layout.stx_ctime + 8, true)
    return this.#view.getBigInt64(layout.stx_ctime, true) * 1_000_000_000n + BigInt(nanoseconds)
  }

  get ino(): bigint {
    return this.#view.getBigUint64(layout.stx_ino, true)
  }

  /** Identity of the inode among all mounted file systems. */
  get identity(): string {
    return `${this.device}:${this.ino}`
  }

  /** Names the file system that holds the inode: its device's major number times 2^32, and the minor number. */
  get device(): number {
    return this.#u32(layout.stx_dev_major) * 2 ** 32 + this.#u32(layout.stx_dev_major + 4)
  }

  /** Number of a device in Linux's own 32-bit form, as in `Inode`. */
  get rdev(): number {
    const { rdevMajor: major, rdevMinor: minor } = this
    return (((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12)) >>> 0
  }

  get rdevMajor(): number {
    return this.#u32(layout.stx_rdev_major)
  }

  get rdevMinor(): number {
    return this.#u32(layout.stx_rdev_major + 4)
  }

  #u32(offset: number): number {
    return this.#view.getUint32(offset, true)
  }

  #seconds(offset: number): number {
    return this.#view.getInt32(offset + 4, true) * 2 ** 32 + this.#view.getUint32(offset, true)
  }
}
