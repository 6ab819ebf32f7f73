import { OnefoldError } from '../../error.ts'
import type { Platform } from './descriptor.ts'

/**
 * Platforms by containerd's rules (github.com/containerd/platforms): names are normalised, and a machine also takes
 * what its processor runs besides: amd64/v3 takes v2, v1 and then 386; arm64/v9.1 takes v9, v8.6 … v8 and then
 * arm/v8 … v5; arm/v7 takes v6 and v5. Without a variant, arm64 is v8, arm is v7 and amd64 is v1.
 */

const architectures: ReadonlyMap<string, string> = new Map([
  ['i386', '386'],
  ['x86_64', 'amd64'],
  ['x86-64', 'amd64'],
  ['aarch64', 'arm64'],
  ['armhf', 'arm'],
  ['armel', 'arm'],
])

/** Go's names, which every image uses, for what Node calls otherwise. */
const nodeArchitectures: ReadonlyMap<string, string> = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
  ['ppc64', 'ppc64le'],
])

const knownArchitectures: ReadonlySet<string> = new Set(
  '386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm'.split(' '),
)

/** Returns the platform of this machine. Variants are left to the defaults: newer ones must be asked for by name. */
export function hostPlatform(): Platform {
  return { os: process.platform, architecture: nodeArchitectures.get(process.arch) ?? process.arch }
}

/** Reads `linux/arm64/v8`, `linux/amd64`, or an architecture alone, which is Linux's. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  if (parts.length > 3 || !parts.every((part) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(part)))
    throw badPlatform(text)
  const [os = '', architecture = '', variant] = parts.length === 1 ? ['linux', text] : parts
  const platform = normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) })
  // "arm/v7" and "linux" alone would be accepted otherwise, and match nothing.
  const isArchitecture = knownArchitectures.has(platform.architecture)
  if (parts.length === 1 ? !isArchitecture : knownArchitectures.has(platform.os)) throw badPlatform(text)
  return platform
}

/** Writes `linux/arm64/v8`, which `parsePlatform` reads. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform
  return [os, architecture, ...(variant === undefined || variant === '' ? [] : [variant])].join('/')
}

/** Returns the one spelling of a platform: lower case, Go's names, default variants of amd64 and arm64 left out. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase()
  const name = platform.architecture.toLowerCase()
  const architecture = architectures.get(name) ?? name
  const variant = normalizeVariant(name, architecture, (platform.variant ?? '').toLowerCase())
  return {
    os: os === 'macos' ? 'darwin' : os,
    architecture,
    ...(variant === '' ? {} : { variant }),
    ...(platform.osVersion === undefined ? {} : { osVersion: platform.osVersion }),
  }
}

/**
 * Ranks how well an image for `have` serves a machine that wants `want`: 0 is the platform itself, 1 the next best of
 * those it can run, and so on; undefined when it cannot run it. The lowest number is the best manifest of an index.
 */
export function matchPlatform(want: Platform, have: Platform): number | undefined {
  const wanted = normalizePlatform(want)
  const offered = normalizePlatform(have)
  if (wanted.os !== offered.os) return undefined
  const offer = formatPlatform(offered)
  const rank = runnable(wanted).findIndex((platform) => formatPlatform(normalizePlatform(platform)) === offer)
  return rank < 0 ? undefined : rank
}

/** Returns everything a processor runs, the best first. */
function runnable(platform: Platform): Platform[] {
  const { os, architecture, variant = '' } = platform
  switch (architecture) {
    case 'amd64':
      return [platform, ...below(platform, version(variant), 1), { os, architecture: '386' }]
    case 'arm':
      return [platform, ...below(platform, version(variant), 5)]
    case 'arm64':
      return [platform, ...olderArm64(platform), ...runnable(arm32Of(platform))]
    default:
      return [platform]
  }
}

/** Returns vN−1 … vLAST of the same architecture. */
function below(platform: Platform, from: number, last: number): Platform[] {
  const older: Platform[] = []
  for (let v = from - 1; v >= last; v--) older.push({ ...platform, variant: `v${v}` })
  return older
}

/** Returns the older versions that an arm64 holds. v9.x holds all of v8.(x+5) and below: the two lines parted there. */
function olderArm64(platform: Platform): Platform[] {
  const [, major, minor = '0'] = /^v(8|9)(?:\.(\d))?$/.exec(platform.variant ?? 'v8') ?? []
  if (major === undefined) return []
  const steps: string[] = []
  for (let m = Number(minor) - 1; m >= 0; m--) steps.push(armVariant(major, m))
  if (major === '9') for (let m = Number(minor) + 5; m >= 0; m--) steps.push(armVariant('8', m))
  return steps.map((variant) => ({ ...platform, variant }))
}

function armVariant(major: string, minor: number): string {
  return minor === 0 ? `v${major}` : `v${major}.${minor}`
}

function arm32Of({ os, variant = 'v8' }: Platform): Platform {
  return { os, architecture: 'arm', variant: /^v[89]\./.test(variant) ? 'v8' : variant }
}

/** Returns the N of `vN`, at most 9: an attacker may ask for v999999999. */
function version(variant: string): number {
  return /^v[1-9]$/.test(variant) ? Number(variant.slice(1)) : 0
}

function normalizeVariant(name: string, architecture: string, variant: string): string {
  if (name === 'i386') return ''
  if (name === 'armhf') return 'v7'
  if (name === 'armel') return 'v6'
  const full = /^\d/.test(variant) ? `v${variant}` : variant
  if (architecture === 'amd64' && full === 'v1') return ''
  if (architecture === 'arm64' && (full === 'v8' || full === 'v8.0')) return ''
  return architecture === 'arm' && full === '' ? 'v7' : full
}

function badPlatform(text: string): OnefoldError {
  return new OnefoldError(
    'USAGE',
    `Cannot read platform ${JSON.stringify(text.slice(0, 100))}: expected OS/ARCH[/VARIANT]`,
    {
      hint: 'For example linux/amd64, linux/arm64 or linux/arm/v7.',
    },
  )
}
