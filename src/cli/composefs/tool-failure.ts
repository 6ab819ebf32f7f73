/**
 * How composefs' tools fail: with one line on stderr and exit status 1, in the words that scripts around them know. A USAGE
 * error is shown as it is, with its hint below; any other error stands behind the name of the tool.
 */
import { OnefoldError } from '../../error.ts'
import { errnoBehind } from '../../linux/libc.ts'

export function usageError(message: string, usage?: string): OnefoldError {
  return new OnefoldError('USAGE', message, usage === undefined ? {} : { hint: usage })
}

/** Calls `action`; where it fails, `what` stands before the reason, as err(3) prints it. */
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

/** The text that perror(3) prints for a failed system call; for any other error its message. */
function reasonOf(error: unknown): string {
  const errno = errnoBehind(error)
  if (errno !== undefined) return systemReasons.get(errno) ?? errno
  return error instanceof Error ? error.message : String(error)
}

/** strerror(3) of the errors that files and mounts meet with. */
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
