import { OnefoldError, errnoOf } from '../../error.ts'

/**
 * How the tools fail: one line on stderr and exit status 1, in the words that scripts around composefs know.
 *
 * A USAGE error is shown as it is, with what it hints at below; everything else after the name of the tool.
 */
export function usageError(message: string, usage?: string): OnefoldError {
  return new OnefoldError('USAGE', message, usage === undefined ? {} : { hint: usage })
}

/** Runs what may fail, and says `what` before the reason, as err(3) does. */
export function attempt<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw failed(what, error)
  }
}

export function failed(what: string, error: unknown): OnefoldError {
  const code = error instanceof OnefoldError ? error.code : 'IO'
  return new OnefoldError(code, `${what}: ${reasonOf(error)}`, { cause: error })
}

/** What perror(3) would print for a failed system call; for everything else the message. */
export function reasonOf(error: unknown): string {
  const errno = errnoOf(error instanceof OnefoldError ? error.cause : error)
  if (errno !== undefined) return systemReasons.get(errno) ?? errno
  return error instanceof Error ? error.message : String(error)
}

/** The C library's words for what happens to files and mounts. */
const systemReasons: ReadonlyMap<string, string> = new Map([
  ['EPERM', 'Operation not permitted'],
  ['ENOENT', 'No such file or directory'],
  ['EIO', 'Input/output error'],
  ['ENXIO', 'No such device or address'],
  ['EBADF', 'Bad file descriptor'],
  ['ENOMEM', 'Cannot allocate memory'],
  ['EACCES', 'Permission denied'],
  ['ENOTBLK', 'Block device required'],
  ['EBUSY', 'Device or resource busy'],
  ['EEXIST', 'File exists'],
  ['EXDEV', 'Invalid cross-device link'],
  ['ENODEV', 'No such device'],
  ['ENOTDIR', 'Not a directory'],
  ['EISDIR', 'Is a directory'],
  ['EINVAL', 'Invalid argument'],
  ['EMFILE', 'Too many open files'],
  ['EFBIG', 'File too large'],
  ['ENOSPC', 'No space left on device'],
  ['EROFS', 'Read-only file system'],
  ['EPIPE', 'Broken pipe'],
  ['ERANGE', 'Numerical result out of range'],
  ['ENAMETOOLONG', 'File name too long'],
  ['ENOSYS', 'Function not implemented'],
  ['ELOOP', 'Too many levels of symbolic links'],
  ['ENODATA', 'No data available'],
  ['EOPNOTSUPP', 'Operation not supported'],
  ['ESTALE', 'Stale file handle'],
  ['EDQUOT', 'Disk quota exceeded'],
])
