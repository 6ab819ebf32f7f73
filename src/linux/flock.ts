import { closeSync, constants } from 'node:fs'
import { fcntl as f, SIGURG, lock } from './abi.ts'
import { open } from './file.ts'
import { isErrno, libcCall } from './libc.ts'

const flockCall = libcCall('flock', 'ii')
const fcntlCall = libcCall('fcntl', 'iil')

export type LockMode = 'shared' | 'exclusive'

/** Waits for the lock; it belongs to the open file and ends with it, also when the process is killed. */
export function flock(fd: number, mode: LockMode): void {
  flockCall(`descriptor ${fd}`, fd, lockOf(mode))
}

/** Takes the lock without waiting; returns false when somebody else holds a lock that does not go with this one. */
export function tryFlock(fd: number, mode: LockMode): boolean {
  try {
    flockCall(`descriptor ${fd}`, fd, lockOf(mode) | lock.LOCK_NB)
    return true
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return false
    throw error
  }
}

function lockOf(mode: LockMode): number {
  return mode === 'shared' ? lock.LOCK_SH : lock.LOCK_EX
}

/**
 * Tells whether anybody but us has the regular file open: another process, a loop device, or a mount that keeps it
 * open, in whatever mount namespace. The kernel grants a write lease only to the one opener of a file (fcntl(2),
 * F_SETLEASE).
 *
 * A second descriptor of our own counts as somebody else. The caller must own the file, or have CAP_LEASE; file systems
 * without leases (some FUSE and network ones) end in an error, never in "not open".
 */
export function isOpenElsewhere(path: string): boolean {
  const fd = open(path, constants.O_RDONLY)
  try {
    return !takesLease(fd)
  } finally {
    closeSync(fd)
  }
}

function takesLease(fd: number): boolean {
  const what = `lease of descriptor ${fd}`
  // An open that comes while we hold the lease signals us: SIGIO would kill the process, SIGURG is ignored.
  fcntlCall(what, fd, f.F_SETSIG, SIGURG)
  try {
    fcntlCall(what, fd, f.F_SETLEASE, f.F_WRLCK)
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return false
    throw error
  }
  fcntlCall(what, fd, f.F_SETLEASE, f.F_UNLCK)
  return true
}
