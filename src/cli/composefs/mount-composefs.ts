import { closeSync, constants } from 'node:fs'
import { OnefoldError, hasCode } from '../../error.ts'
import { open } from '../../linux/file.ts'
import { errnoBehind } from '../../linux/libc.ts'
import { mountStandalone } from '../../mount/standalone.ts'
import { type MountCommand, mountUsage, parseMountCommand } from './mount-options.ts'
import { attempt, failed } from './tool-failure.ts'

/** `mount.composefs`: mounts an image of any place, also as the helper that mount(8) calls. */
export async function mountComposefs(args: readonly string[]): Promise<void> {
  const command = parseMountCommand(args)
  if (command === undefined) process.stderr.write(`${mountUsage}\n`)
  else mountAs(command)
}

function mountAs({ image: path, idmap, ...command }: MountCommand): void {
  using namespace = idmap === undefined ? undefined : openFile(idmap, `Failed to open userns ${idmap}`)
  using image = openFile(path, `Failed to open ${path}`)
  try {
    mountStandalone({ ...command, name: path, image: image.fd, ...(namespace && { namespace: namespace.fd }) })
  } catch (error) {
    throw inToolWords(`Failed to mount composefs ${path}`, error)
  }
}

function openFile(path: string, what: string): Disposable & { readonly fd: number } {
  const fd = attempt(what, () => open(path, constants.O_RDONLY | constants.O_NOCTTY))
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

function inToolWords(what: string, error: unknown): OnefoldError {
  if (errnoBehind(error) !== undefined) return failed(what, error)
  const reason = wordsByCode.find(([code]) => hasCode(error, code))?.[1]
  return reason === undefined ? failed(what, error) : new OnefoldError('IO', `${what}: ${reason}`, { cause: error })
}

/** The original's words for an image that it refuses itself. */
const wordsByCode = [
  ['UNSUPPORTED', 'Image has no fs-verity'],
  ['DIGEST_MISMATCH', 'Image has wrong fs-verity'],
  ['BAD_FORMAT', 'Invalid argument'],
] as const
