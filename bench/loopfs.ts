import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { benchFolder } from './images.ts'

export type FsKind = 'ext4' | 'xfs' | 'btrfs'

/**
 * A file system that has never held anything, mounted for one measurement: on one in use, ext4 spends more time on
 * avoiding the inodes of files deleted before than on what is being measured.
 */
export interface LoopFs extends Disposable {
  readonly path: string
  /** Bytes in use beyond what the empty file system uses. */
  used(): number
}

const mkfs: Readonly<Record<FsKind, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
}

const live = new Set<LoopFs>()

/** `backing` is the folder of the image file: on the disk by default, a tmpfs to leave the disk out. */
export function freshFs({ kind = 'ext4' as FsKind, gigabytes = 12, backing = backingFolder() } = {}): LoopFs {
  const folder = mkdtempSync(join(backing, 'onefold-bench-fs-'))
  const image = join(folder, 'image')
  const path = join(folder, 'mnt')
  writeFileSync(image, '')
  truncateSync(image, gigabytes * 2 ** 30)
  const [program = '', ...args] = mkfs[kind]
  execFileSync(program, [...args, image])
  // No background initialisation of inode tables: it would write beside the measured command.
  const options = kind === 'ext4' ? 'loop,noinit_itable' : 'loop'
  execFileSync('mount', ['--mkdir', '-o', options, image, path])
  const empty = usedBytes(path)
  const fs: LoopFs = {
    path,
    used() {
      execFileSync('sync', ['-f', path])
      return usedBytes(path) - empty
    },
    [Symbol.dispose]() {
      live.delete(fs)
      execFileSync('umount', ['--recursive', path])
      rmSync(folder, { recursive: true })
    },
  }
  live.add(fs)
  return fs
}

function backingFolder(): string {
  return process.env['ONEFOLD_BENCH_BACKING'] ?? benchFolder
}

function usedBytes(path: string): number {
  const { blocks, bfree, bsize } = statfsSync(path)
  return (blocks - bfree) * bsize
}

process.on('exit', () => {
  for (const fs of live) fs[Symbol.dispose]()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
