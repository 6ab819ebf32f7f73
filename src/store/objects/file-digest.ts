import { closeSync, readSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { VerityDigest } from '../../digest.ts'
import { VerityHasher, blocksOf, groupBytes } from '../../formats/fsverity/verity-digest.ts'
import { ThreadPool, threadCount } from '../../threads/pool.ts'
import { startThread } from '../../threads/start.ts'
import { fileError, openRegular } from '../store-files.ts'
import { type GroupWork, hashGroups } from './group-digest.ts'

/** Bytes that take as long to hash as a thread to start. */
const bytesPerThread = 32 << 20
const threadsMax = 64
const chunkBytes = 1 << 20

/**
 * The fs-verity digest of a regular file, or undefined when there is none. A large one is hashed by several threads,
 * this one among them.
 */
export async function fileDigest(path: string, threads = availableParallelism()): Promise<VerityDigest | undefined> {
  const file = openRegular(path, 'a file to be hashed')
  if (file === undefined) return undefined
  try {
    return await openFileDigest(file.fd, file.size, threads)
  } catch (error) {
    throw fileError('read', path, error)
  } finally {
    closeSync(file.fd)
  }
}

/** The fs-verity digest of an open file; what it has grown by meanwhile counts. */
export async function openFileDigest(fd: number, size: number, threads: number): Promise<VerityDigest> {
  const hasher = new VerityHasher()
  const most = threadCount(Math.min(threadsMax, Math.floor(size / bytesPerThread)), threads)
  let at = 0
  if (most > 1) {
    const groups = Math.floor(size / groupBytes)
    hasher.appendGroups(await hashTogether(fd, groups, most))
    at = groups * groupBytes
  }
  const buffer = Buffer.allocUnsafe(chunkBytes)
  const blocks = blocksOf(buffer)
  for (let length = readSync(fd, buffer, 0, chunkBytes, at); length > 0;) {
    hasher.update(buffer.subarray(0, length), blocks)
    at += length
    length = readSync(fd, buffer, 0, chunkBytes, at)
  }
  return hasher.digest()
}

/** Hashes groups on several threads. The descriptor is in use until every thread has answered. */
async function hashTogether(fd: number, groups: number, threads: number): Promise<Uint8Array> {
  const work: GroupWork = { fd, groups, next: new SharedArrayBuffer(4), hashes: new SharedArrayBuffer(groups * 32) }
  const helpers = threads - 1
  await using pool = new ThreadPool<GroupWork, void>(() => startThread('group-thread', import.meta.url), {
    threads: helpers,
  })
  const running = Array.from({ length: helpers }, () => pool.run(work))
  const ended = await Promise.allSettled([hashHere(work), ...running])
  for (const each of ended) if (each.status === 'rejected') throw each.reason
  return Buffer.from(new Uint8Array(work.hashes))
}

/** Takes part in the work; when that fails, the others find nothing more to do. */
async function hashHere(work: GroupWork): Promise<void> {
  try {
    hashGroups(work)
  } catch (error) {
    Atomics.store(new Int32Array(work.next), 0, work.groups)
    throw error
  }
}
