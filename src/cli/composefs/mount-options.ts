import { parseVerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { StandaloneMount } from '../../mount/standalone.ts'
import { parseOptions } from './getopt.ts'
import { usageError } from './tool-failure.ts'

/** A command line of `mount.composefs`. Paths have one char per byte. */
export interface MountCommand extends Omit<StandaloneMount, 'image' | 'name' | 'namespace'> {
  readonly image: string
  /** The path of a user namespace, `/proc/PID/ns/user`. */
  readonly idmap?: string
}

/** Reads a command line; undefined when it asks for help. */
export function parseMountCommand(args: readonly string[]): MountCommand | undefined {
  const { options, operands } = parseOptions(args, { flags: [], withValue: [], letters: 'h', lettersWithValue: 'to' })
  let mountOptions = ''
  for (const option of options) {
    if ('problem' in option) throw usageError(`mount.composefs: ${option.reason}`, mountUsage)
    if (option.name === 'h') return undefined
    if (option.name === 'o') mountOptions = option.value
    else if (option.value !== 'composefs')
      throw new OnefoldError('UNSUPPORTED', `Unsupported fs type '${option.value}'`)
  }
  const [image, target] = operands
  if (image === undefined) throw usageError('No source path specified', mountUsage)
  if (target === undefined) throw usageError('No mount path specified', mountUsage)
  return { image, target, ...parseMountOptions(mountOptions) }
}

const valueNames: ReadonlySet<string> = new Set(['basedir', 'digest', 'upperdir', 'workdir', 'idmap'])
const flagNames: ReadonlySet<string> = new Set(['verity', 'tryverity', 'ro', 'rw'])

/** Reads options as fstab(5) has them: `key[=value],…`, where a backslash escapes the char behind it and the last of a key counts. */
export function parseMountOptions(text: string): Omit<MountCommand, 'image' | 'target'> {
  const given = new Map<string, string>()
  let readOnly = false
  for (const { key, value } of splitMountOptions(text)) {
    if (!valueNames.has(key) && !flagNames.has(key)) throw new OnefoldError('UNSUPPORTED', `Unsupported option ${key}`)
    if (valueNames.has(key) && value === undefined)
      throw new OnefoldError('BAD_NAME', `No value specified for ${key} option`)
    if (key === 'ro' || key === 'rw') readOnly = key === 'ro'
    else given.set(key, value ?? '')
  }
  const [digest, idmap] = [given.get('digest'), given.get('idmap')]
  return {
    objects: splitBasedir(given.get('basedir')),
    ...changesOf(given.get('upperdir'), given.get('workdir')),
    readOnly,
    verity: given.has('verity') || digest !== undefined ? 'require' : given.has('tryverity') ? 'try' : 'off',
    ...(digest !== undefined && { digest: parseVerityDigest(digest.toLowerCase()) }),
    ...(idmap !== undefined && { idmap }),
  }
}

function* splitMountOptions(text: string): Generator<{ key: string; value: string | undefined }> {
  for (let rest: string | undefined = text === '' ? undefined : text; rest !== undefined;) {
    const [option = ''] = /^(?:\\.|[^,\\]|\\$)*/s.exec(rest) ?? []
    const equals = indexOfEquals(option)
    if (equals < 0) yield { key: option, value: undefined }
    else yield { key: option.slice(0, equals), value: option.slice(equals + 1).replace(/\\(.?)/gs, '$1') }
    rest = option.length < rest.length ? rest.slice(option.length + 1) : undefined
    if (rest === '') return
  }
}

function indexOfEquals(option: string): number {
  const before = /^(?:\\.|[^=\\])*=/s.exec(option)
  return before === null ? -1 : before[0].length - 1
}

function splitBasedir(text: string | undefined): string[] {
  if (text === undefined) throw usageError('No object dirs specified', mountUsage)
  const objects = text.split(':')
  if (objects.includes('')) throw new OnefoldError('BAD_NAME', 'Value for basedir option has incorrect format')
  return objects
}

function changesOf(upper: string | undefined, work: string | undefined): Pick<MountCommand, 'upper'> {
  if (upper !== undefined && work !== undefined) return { upper: { upper, work } }
  if (upper === undefined && work === undefined) return {}
  throw new OnefoldError('BAD_NAME', 'Both workdir and upperdir must be specified if used')
}

export const mountUsage = `usage: mount.composefs [-t type] [-o opt[,opts..]] IMAGE MOUNTPOINT
Example:
  mount.composefs -o basedir=/composefs/objects exampleimage.cfs /mnt/exampleimage
or, as a mount helper:
  mount -t composefs -o basedir=/composefs/objects exampleimage.cfs /mnt/exampleimage

Supported options:
  basedir=PATH[:PATH]    Specify location of basedir(s)
  digest=DIGEST          Specify required image digest
  idmap=PATH             Specify path to a user namespace whose ID mapping should be used
  verity                 Require all files to have specified and valid fs-verity digests
  tryverity              If supported by kernel, require fs-verity
  ro                     Read only
  rw                     Read/write
  upperdir               Overlayfs upperdir
  workdir                Overlayfs workdir`
