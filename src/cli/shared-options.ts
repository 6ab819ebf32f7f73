import { existsSync } from 'node:fs'
import { OnefoldError } from '../error.ts'
import type { VerityDigest } from '../digest.ts'
import type { Platform } from '../formats/oci/descriptor.ts'
import type { SourceOptions } from '../sources/source-options.ts'
import type { ImportLimits } from '../transfer/import/layer-job.ts'
import type { SealOptions } from '../transfer/seal/seal-check.ts'
import type { Options } from './command.ts'
import { parseBytes } from './output.ts'

/** Options that several commands share, and their conversion to arguments of the library. */

export const platformOptions = {
  platform: { value: 'OS/ARCH[/VARIANT]', help: 'which image of a multi-platform image (default: for this machine)' },
} as const

export const sourceOptions = {
  insecure: { help: 'talk to the registry over plain HTTP, or HTTPS whose certificate nobody vouches for' },
  'ca-file': { value: 'FILE', help: 'trust the certificates in FILE (PEM) as well' },
  authfile: { value: 'FILE', help: 'look for credentials in FILE before those of podman and docker' },
} as const

/** Demands of a pull on the image's own digest. */
export const sealOptions = {
  'expect-image': { value: 'DIGEST', help: 'refuse the image unless its tree has this digest (see: onefold digest)' },
  'require-sealed': { help: 'refuse an image that does not say what the digest of its tree is' },
  'ignore-seal': { help: 'take an image although it says another digest of its tree' },
} as const

/** Demands on what is mounted, by the kernel and by us. */
export const integrityOptions = {
  verity: { help: 'mount only files that are sealed with fs-verity, and have the kernel check each' },
  digest: { value: 'DIGEST', help: 'refuse to mount anything but the image with this digest' },
  'allow-failed': { help: 'use an image although it was found to lie (see: onefold verify)' },
} as const

export const limitOptions = {
  'max-layer-size': { value: 'SIZE', help: 'refuse layers that unfold to more than this (default 64G)' },
  'max-entries': { value: 'N', help: 'refuse layers with more entries than this (default 10000000)' },
} as const

export async function platformOf(options: Options): Promise<Platform | undefined> {
  const text = options.text('platform')
  return text === undefined ? undefined : (await import('../formats/oci/platform.ts')).parsePlatform(text)
}

export async function sealOptionsOf(options: Options): Promise<SealOptions> {
  const text = options.text('expect-image')
  const requireSealed = options.flag('require-sealed')
  const ignoreSeal = options.flag('ignore-seal')
  if (requireSealed && ignoreSeal)
    throw new OnefoldError('USAGE', 'Cannot require and ignore a seal: choose --require-sealed or --ignore-seal')
  const expectImage =
    text === undefined ? undefined : (await import('../formats/oci/seal-claims.ts')).parseImageDigest(text)
  return { requireSealed, ignoreSeal, ...(expectImage === undefined ? {} : { expectImage }) }
}

export async function integrityOf(
  options: Options,
): Promise<{ verity: boolean; allowFailed: boolean; digest: VerityDigest | undefined }> {
  const text = options.text('digest')
  const digest = text === undefined ? undefined : await mountableDigest(text)
  return { verity: options.flag('verity'), allowFailed: options.flag('allow-failed'), digest }
}

async function mountableDigest(text: string): Promise<VerityDigest> {
  const { parseImageDigest } = await import('../formats/oci/seal-claims.ts')
  const { parseVerityDigest } = await import('../digest.ts')
  const { algorithm, hex } = parseImageDigest(text)
  if (algorithm === 'sha256') return parseVerityDigest(hex)
  throw new OnefoldError('UNSUPPORTED', `Cannot mount by a digest of ${algorithm}: images are named by sha256`)
}

export function sourceOptionsOf(
  options: Options,
  onWarning: (message: string) => void,
  signal: AbortSignal,
): SourceOptions {
  const authFile = options.text('authfile')
  if (authFile !== undefined && !existsSync(authFile))
    throw new OnefoldError('NOT_FOUND', `Cannot read credentials from "${authFile}": there is no such file`)
  const caFile = options.text('ca-file')
  const registry = {
    insecure: options.flag('insecure'),
    ...(caFile === undefined ? {} : { caFile }),
    ...(authFile === undefined ? {} : { env: { ...process.env, REGISTRY_AUTH_FILE: authFile } }),
  }
  return { registry, onWarning, signal }
}

export function limitsOf(options: Options): Partial<ImportLimits> {
  const size = options.text('max-layer-size')
  const entries = options.text('max-entries')
  return {
    ...(size === undefined ? {} : { layerBytes: parseBytes(size) }),
    ...(entries === undefined ? {} : { layerEntries: parseCount('--max-entries', entries) }),
  }
}

function parseCount(option: string, text: string): number {
  const count = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(count)) return count
  throw new OnefoldError('USAGE', `Cannot read ${option} ${JSON.stringify(text)}: expected a whole number`)
}
