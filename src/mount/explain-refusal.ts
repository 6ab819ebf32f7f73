import { release } from 'node:os'
import { OnefoldError, errnoOf } from '../error.ts'
import { knowsFileSystem } from '../linux/mount-calls.ts'
import { SystemCallError, isErrno } from '../linux/libc.ts'

/** Turns the kernel's refusal into what is missing, where that can be told; other errors come back as they are. */
export function explainRefusal(error: unknown, kernel = release()): unknown {
  const errno = errnoOf(error)
  if (errno !== undefined && !(error instanceof OnefoldError)) {
    return new OnefoldError('IO', `Cannot mount: ${String(error)}`, { cause: error })
  }
  if (isErrno(error, 'EPERM') && isMountCall(error)) {
    return new OnefoldError('DENIED', 'Cannot mount: the kernel allows it to root only', {
      cause: error,
      hint: 'run as root, or read the image with ls, cat and diff, which need no mount',
    })
  }
  const missing = isErrno(error, 'ENOSYS') ? mountApi : missingPart(error, kernel)
  if (missing === undefined) return error
  return new OnefoldError('UNSUPPORTED', `Cannot mount: this kernel, ${kernel}, lacks ${missing}`, {
    cause: error,
    hint: 'ls, cat and diff read the image without a mount',
  })
}

function isMountCall(error: unknown): boolean {
  const cause = error instanceof OnefoldError ? error.cause : undefined
  return cause instanceof SystemCallError && ['fsopen', 'fsconfig', 'fsmount', 'move_mount'].includes(cause.syscall)
}

const mountApi = 'the mount API of Linux 5.2'

function missingPart(error: unknown, kernel: string): string | undefined {
  if (isErrno(error, 'ENODEV')) {
    const absent = ['erofs', 'overlay'].filter((type) => !knowsFileSystem(type))
    if (absent.length > 0)
      return absent
        .map((type) => `the ${type} file system (CONFIG_${type === 'erofs' ? 'EROFS' : 'OVERLAY'}_FS)`)
        .join(' and ')
  }
  if (isErrno(error, 'EINVAL') && isOlder(kernel, 6, 5)) return "overlay's data-only layers (Linux 6.5)"
  return undefined
}

function isOlder(kernel: string, major: number, minor: number): boolean {
  const [, a = '0', b = '0'] = /^(\d+)\.(\d+)/.exec(kernel) ?? []
  return Number(a) < major || (Number(a) === major && Number(b) < minor)
}
