import { type Digest, digestOf, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Fields } from '../json.ts'

/** Blob in a registry, layout or archive, as a manifest names it. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: Platform
  readonly artifactType?: string
}

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly osVersion?: string
}

/** Syntax of digests in the image-spec, `algorithm:encoded`, also of algorithms we cannot compute. */
const anyDigest = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+$/

/**
 * Reads a descriptor (image-spec "descriptor.md"). An attacker controls every field: the digest becomes a file name and
 * the size a length to read, so neither leaves here unchecked.
 */
export function readDescriptor(fields: Fields): Descriptor {
  const annotations = fields.map('annotations')
  const platform = fields.object('platform')
  const artifactType = fields.string('artifactType')
  return {
    mediaType: fields.text('mediaType'),
    digest: readDigest(fields, 'digest'),
    size: fields.size('size'),
    ...(annotations === undefined ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform: readPlatform(platform) }),
    ...(artifactType === undefined ? {} : { artifactType }),
  }
}

function readDigest(fields: Fields, name: string): Descriptor['digest'] {
  const text = fields.text(name)
  if (isDigest(text)) return text
  if (!anyDigest.test(text) || /^sha(?:256|512):/.test(text))
    throw fields.bad(name, 'sha256: and 64, or sha512: and 128, lower-case hex digits')
  throw new OnefoldError(
    'UNSUPPORTED',
    `Cannot use digest ${JSON.stringify(text.slice(0, 100))} at ${fields.path(name)}: only sha256 and sha512 are known`,
  )
}

function readPlatform(fields: Fields): Platform {
  const variant = fields.string('variant')
  const osVersion = fields.string('os.version')
  return {
    os: fields.string('os') ?? '',
    architecture: fields.string('architecture') ?? '',
    ...(variant === undefined || variant === '' ? {} : { variant }),
    ...(osVersion === undefined || osVersion === '' ? {} : { osVersion }),
  }
}

/** Returns a descriptor as a JSON value, fields in the order that the image-spec lists them. */
export function descriptorValue(descriptor: Descriptor): object {
  const { platform } = descriptor
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    annotations: sortedMap(descriptor.annotations),
    platform: platform && {
      architecture: platform.architecture,
      os: platform.os,
      'os.version': platform.osVersion,
      variant: platform.variant,
    },
    artifactType: descriptor.artifactType,
  }
}

/** Describes a document or a blob that is at hand. */
export function describeBlob(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

/**
 * Sorts keys in code unit order, so that equal maps are written as equal bytes; a null prototype keeps `__proto__` a
 * key.
 */
export function sortedMap(map: Readonly<Record<string, string>> | undefined): object | undefined {
  if (map === undefined) return undefined
  const sorted: Record<string, string> = Object.create(null)
  for (const key of Object.keys(map).toSorted()) sorted[key] = map[key] ?? ''
  return sorted
}
