/** Annotations of a layer's descriptor by which its table of contents is bound and found. */
import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { bareMediaType } from '../oci/media-types.ts'

/** Digest of the table's JSON, in eStargz and stargz' zstd dialect. */
export const stargzTocDigest = 'containerd.io/snapshot/stargz/toc.digest'
/** Size of the tar, in the same two. */
export const stargzTarSize = 'io.containers.estargz.uncompressed-size'
/** Annotations that stargz' writers add to a layer, in either coding. */
export const stargzAnnotations = /^(?:containerd\.io\/snapshot\/|io\.containers\.estargz\.)/

/** Zstd frame in the blob, as an annotation or a footer places it. */
export interface Position {
  readonly start: number
  readonly end: number
  /** Number of bytes it decodes to. */
  readonly size: number
}

export function hasAnnotation({ annotations = {} }: Descriptor, name: string): boolean {
  return Object.hasOwn(annotations, name)
}

/** Tells whether a media type says that the layer is compressed with zstd. */
export function isZstd(mediaType: string): boolean {
  return /[+.]zstd$/.test(bareMediaType(mediaType))
}

/** Returns the digest in an annotation; undefined when there is none; throws BAD_FORMAT when it is no digest. */
export function digestAnnotation({ annotations = {} }: Descriptor, name: string): Digest | undefined {
  const text = ownText(annotations, name)
  if (text === undefined) return undefined
  if (!isDigest(text)) throw badAnnotation(`${name} is no digest`)
  return text
}

/** Returns the digest in an annotation, where it is one. */
export function digestIfValid({ annotations = {} }: Descriptor, name: string): Digest | undefined {
  const text = ownText(annotations, name)
  return text !== undefined && isDigest(text) ? text : undefined
}

/**
 * Returns the position in an annotation; undefined when there is none.
 * @param numbers 3, or 4 where a kind follows, which must be 1
 */
export function positionAnnotation(
  { annotations = {} }: Descriptor,
  name: string,
  numbers: 3 | 4,
): Position | undefined {
  const text = ownText(annotations, name)
  if (text === undefined) return undefined
  const parts = /^\d{1,15}(?::\d{1,15}){2,3}$/.test(text) ? text.split(':').map(Number) : []
  const [start, length, size, kind] = parts
  if (start === undefined || length === undefined || size === undefined || parts.length !== numbers)
    throw badAnnotation(`${name} has not the ${numbers} numbers it should have`)
  if (numbers === 4 && kind !== 1) throw badAnnotation(`${name} says a kind of table that is unknown`)
  return { start, end: start + length, size }
}

export function formatPosition({ start, end, size }: Position): string {
  return `${start}:${end - start}:${size}`
}

function ownText(annotations: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(annotations, name) ? annotations[name] : undefined
}

export function badAnnotation(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot use the table of contents of a layer: ${found}`)
}
