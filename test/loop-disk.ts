import { execFileSync } from 'node:child_process'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { libcCall } from '../src/linux/libc.ts'
import { needsPrograms, needsRoot } from './needs.ts'

export const ext4 = ['mkfs.ext4', '-q', '-F'] as const
export const xfs = ['mkfs.xfs', '-q', '-f'] as const
export const btrfs = ['mkfs.btrfs', '-q', '-f'] as const

/** For a test's `skip` option. */
export const needsLoop = needsRoot === false ? needsPrograms('mkfs.ext4', 'mount', 'umount') : needsRoot

/** A file system in a file of its own, mounted at `path`. */
export class LoopDisk implements Disposable {
  readonly path: string
  readonly #image: string
  #isDown = false

  constructor(folder: string, bytes: number, mkfs: readonly [program: string, ...options: string[]] = ext4) {
    this.#image = `${folder}/disk.img`
    this.path = `${folder}/disk`
    mkdirSync(this.path)
    writeFileSync(this.#image, '')
    truncateSync(this.#image, bytes)
    const [program, ...options] = mkfs
    execFileSync(program, [...options, this.#image])
    this.#mount()
  }

  /** As if the power had failed: nothing more reaches the disk, not even what is in the journal. Then it is back. */
  cutPower(): void {
    if (!this.#isDown) this.shutDown()
    execFileSync('umount', [this.path])
    this.#untilDetached()
    this.#mount()
  }

  shutDown(): void {
    const FS_IOC_SHUTDOWN = 0x8004587d
    const noLogFlush = Uint8Array.of(2, 0, 0, 0)
    const fd = openSync(this.path, 'r')
    libcCall('ioctl', 'ilp')('the disk', fd, FS_IOC_SHUTDOWN, noLogFlush)
    closeSync(fd)
    this.#isDown = true
  }

  /**
   * A mount namespace that somebody made meanwhile (a container, say) has a copy of the mount, and the kernel lets go of the
   * device late. While it has it, mounting the file again would give the file system that was shut down.
   */
  #untilDetached(): void {
    for (const end = performance.now() + 60_000; isAttached(this.#image); sleepSync(10))
      if (performance.now() > end) throw new Error(`${this.#image} is still mounted in another mount namespace`)
  }

  #mount(): void {
    execFileSync('mount', ['-o', 'loop', this.#image, this.path])
    this.#isDown = false
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.path])
  }
}

function isAttached(file: string): boolean {
  return readdirSync('/sys/block').some((name) => {
    try {
      return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd() === file
    } catch {
      return false
    }
  })
}

function sleepSync(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

/** Takes all the space there is, to the last block; false when not even another file can be made. */
export function fill(path: string): boolean {
  let fd: number
  try {
    fd = openSync(path, 'w')
  } catch {
    return false
  }
  try {
    for (let size = 1 << 20; size >= 512;) {
      try {
        writeSync(fd, Buffer.alloc(size))
      } catch {
        size /= 2
      }
    }
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  return true
}
