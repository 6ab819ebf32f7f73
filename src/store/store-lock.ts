import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LockMode, tryFlock } from '../linux/flock.ts'
import { fileError } from './store-files.ts'
import { lockFile, tmpFolder } from './store-layout.ts'

const firstWaitMs = 2
const longestWaitMs = 50

/**
 * The lock of a store. Shared: what gives names or takes refs away (commit, tag, remove). Exclusive: the short part of a
 * garbage collection that takes names away. Reading needs none. It ends with the process, however that dies.
 *
 * Waiting is asynchronous: a thread blocked in flock(2) could neither be aborted nor show progress.
 */
export async function lockStore(root: string, mode: LockMode, signal?: AbortSignal): Promise<Disposable> {
  return lockPath(`${root}/${lockFile}`, mode, signal)
}

/** Orders changes of refs whose outcome depends on what was there: commits hold the store's lock shared, next to each other. */
export async function lockRefs(root: string, signal?: AbortSignal): Promise<Disposable> {
  return lockPath(`${root}/refs`, 'exclusive', signal)
}

/** One garbage collection at a time, from its first mark to its last unlink. Undefined when there is one. */
export function tryLockCollector(root: string): Disposable | undefined {
  const fd = openForLock(`${root}/${tmpFolder}`)
  if (tryFlock(fd, 'exclusive')) return { [Symbol.dispose]: () => closeSync(fd) }
  closeSync(fd)
  return undefined
}

async function lockPath(path: string, mode: LockMode, signal: AbortSignal | undefined): Promise<Disposable> {
  const fd = openForLock(path)
  try {
    for (let wait = firstWaitMs; !tryFlock(fd, mode); wait = Math.min(wait * 2, longestWaitMs))
      await sleep(wait, undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}

function openForLock(path: string): number {
  try {
    // flock(2) needs no write access, and a folder has none to give.
    return openSync(path, 'r')
  } catch (error) {
    throw fileError('lock', path, error)
  }
}
