import { fsyncSync, fstatSync } from 'node:fs'
import { memory } from '../src/linux/abi.ts'
import { libcCall, libcSizeCall } from '../src/linux/libc.ts'

const mmapCall = libcSizeCall('mmap', 'lliiil')
const munmapCall = libcCall('munmap', 'll')
const mincoreCall = libcCall('mincore', 'llp')
const fadviseCall = libcCall('posix_fadvise', 'illi')

export interface Residency {
  /** Pages of the file in memory, and in all. */
  readonly resident: number
  readonly pages: number
}

/** How much of an open file is in the page cache. Through a mount it is the cache of the object below that counts. */
export function residency(fd: number): Residency {
  const { size } = fstatSync(fd)
  if (size === 0) return { resident: 0, pages: 0 }
  const address = mmapCall(`descriptor ${fd}`, 0, size, memory.PROT_READ, memory.MAP_SHARED, fd, 0)
  try {
    const pages = new Uint8Array(Math.ceil(size / 4096))
    mincoreCall(`descriptor ${fd}`, address, size, pages)
    return { resident: pages.reduce((sum, page) => sum + (page & 1), 0), pages: pages.length }
  } finally {
    munmapCall(`descriptor ${fd}`, address, size)
  }
}

/** Drops an open file's clean pages from the page cache, as far as nobody else uses them. */
export function evict(fd: number): void {
  fsyncSync(fd)
  fadviseCall(`descriptor ${fd}`, fd, 0, 0, memory.POSIX_FADV_DONTNEED)
}
