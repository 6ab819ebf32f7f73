import { closeSync, constants, mkdtempSync, readSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { header, headerHasAcl, headerMagic } from '../formats/erofs/erofs-records.ts'
import { open } from '../linux/file.ts'
import { isErrno } from '../linux/libc.ts'
import { measureVerity } from '../linux/fs-verity.ts'
import { pathFromUtf8 } from '../paths.ts'
import { carryOut } from './carry-out.ts'
import { type Means, type Setting, type Step, escapePath, layerSettings, metadataSteps } from './mount-plan.ts'
import { attempt, failed } from '../cli/composefs/tool-failure.ts'
import { type MountCommand, mountUsage, parseMountCommand } from '../cli/composefs/mount-options.ts'

/** `mount.composefs`: mounts an image of any place, also as the helper that mount(8) calls. */
export async function mountComposefs(args: readonly string[]): Promise<void> {
  const command = parseMountCommand(args)
  if (command === undefined) process.stderr.write(`${mountUsage}\n`)
  else mountComposefsImage(command)
}

/** Mounts the image that `command` describes. */
export function mountComposefsImage(command: MountCommand): void {
  const what = `Failed to mount composefs ${command.image}`
  const { idmap } = command
  using namespace = idmap === undefined ? undefined : openFile(idmap, `Failed to open userns ${idmap}`)
  using image = openFile(command.image, `Failed to open ${command.image}`)
  checkDigest(image.fd, command.digest, what)
  const hasAcl = readHeader(image.fd, what)
  try {
    mountBest({ command, image: image.fd, hasAcl, namespace: namespace?.fd })
  } catch (error) {
    throw failed(what, error)
  }
}

function openFile(path: string, what: string): Disposable & { readonly fd: number } {
  const fd = attempt(what, () => open(path, constants.O_RDONLY | constants.O_NOCTTY))
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

/** Of the very descriptor that is mounted, and only what the kernel enforces: anything else could change afterwards. */
function checkDigest(image: number, wanted: VerityDigest | undefined, what: string): void {
  if (wanted === undefined) return
  const found = attempt(what, () => measureVerity(image))
  if (found === wanted) return
  const why = found === undefined ? 'Image has no fs-verity' : 'Image has wrong fs-verity'
  throw new OnefoldError('DIGEST_MISMATCH', `${what}: ${why}`)
}

/** Returns whether the image holds POSIX ACLs. */
function readHeader(image: number, what: string): boolean {
  const bytes = Buffer.alloc(header.bytes)
  const length = attempt(what, () => readSync(image, bytes, 0, header.bytes, 0))
  if (length < header.bytes || bytes.readUInt32LE(header.magic) !== headerMagic)
    throw new OnefoldError('BAD_FORMAT', `${what}: Invalid argument`)
  return (bytes.readUInt32LE(header.flags) & headerHasAcl) !== 0
}

interface Request {
  readonly command: MountCommand
  readonly image: number
  readonly hasAcl: boolean
  readonly namespace: number | undefined
}

/** Asks the kernel in the newest way it understands; EINVAL and EBADF may mean that it does not understand. */
function mountBest(request: Request): void {
  let refusal: unknown
  for (const verity of request.command.verity === 'try' ? [true, false] : [request.command.verity === 'require'])
    for (const layers of ['descriptors', 'paths', 'string'] as const)
      try {
        return mountAs(request, layers, verity)
      } catch (error) {
        if (!isErrno(error, 'EINVAL', 'EBADF')) throw error
        refusal ??= error
      }
  throw refusal
}

/** EROFS reads the image file itself where it can, else from a loop device. */
function mountAs(request: Request, layers: Means['layers'], verity: boolean): void {
  try {
    mountWith(request, { image: 'file', layers }, verity)
  } catch (error) {
    if (!isErrno(error, 'ENOTBLK')) throw error
    mountWith(request, { image: 'loop', layers }, verity)
  }
}

function mountWith(request: Request, means: Means, verity: boolean): void {
  if (means.layers === 'descriptors') return carryOut(planComposefs({ ...request, verity, scratch: '' }, means))
  const scratch = mkdtempSync(join(tmpdir(), '.composefs.'))
  try {
    carryOut(planComposefs({ ...request, verity, scratch: pathFromUtf8(scratch) }, means))
  } finally {
    rmdirSync(scratch)
  }
}

/**
 * The mount that composefs' own helper makes, so that what looks for it in the mount table finds it: source `composefs`, devices
 * and setuid programs work, writes go nowhere unless there is an upper directory.
 */
export function planComposefs(
  request: Request & { readonly verity: boolean; readonly scratch: string },
  means: Means,
): readonly Step[] {
  const { command, namespace, scratch } = request
  const byPath = means.layers !== 'descriptors'
  return [
    ...metadataSteps(request, means),
    ...(namespace === undefined ? [] : [{ step: 'idmap', mount: 'metadata', namespace } as const]),
    ...(byPath ? [{ step: 'attach', mount: 'metadata', target: scratch } as const] : []),
    {
      step: 'mount',
      type: 'overlay',
      settings: overlaySettings(request, means),
      attributes: command.readOnly ? ['rdonly'] : [],
      as: 'tree',
    },
    ...(byPath ? [{ step: 'detach', target: scratch } as const] : []),
    { step: 'attach', mount: 'tree', target: command.target },
  ]
}

function overlaySettings(
  { command, verity, scratch }: Request & { readonly verity: boolean; readonly scratch: string },
  means: Means,
): Setting[] {
  return [
    { key: 'source', value: 'composefs' },
    { key: 'metacopy', value: 'on' },
    { key: 'redirect_dir', value: 'on' },
    ...(verity ? [{ key: 'verity', value: 'require' }] : []),
    ...layerSettings({ objects: command.objects, scratch }, means),
    ...(command.upper === undefined
      ? []
      : [
          { key: 'upperdir', value: escapePath(command.upper.upper) },
          { key: 'workdir', value: escapePath(command.upper.work) },
        ]),
  ]
}
