/** Reads and writes the annotations of a layer's descriptor by which its index is bound and found. */
import type { Binding } from '../binding.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { describeBlob } from '../oci/descriptor.ts'
import { badAnnotation, digestAnnotation, digestIfValid, hasAnnotation } from '../toc-json/toc-annotations.ts'
import { type OnLoss, reportLoss } from './index-losses.ts'
import type { WrittenIndex } from './write-index.ts'

/** Media type of an index. */
export const indexMediaType = 'application/vnd.onefold.erofs-tar.index.v1'
/** Annotation with the digest of the index. */
export const indexDigest = 'org.onefold.erofs-tar.digest'
/** Annotation with the size of the index. */
export const indexSize = 'org.onefold.erofs-tar.size'
/** Annotation with the numbers of the directories that the tar has no entry for, ascending, with commas between them. */
export const impliedDirectories = 'org.onefold.erofs-tar.implied'
export const erofsTarAnnotations = /^org\.onefold\.erofs-tar\./

/** The most directories without entries that can be named; tools leave out a few. */
export const impliedMax = 1000

/** An index that a layer's descriptor binds. */
export interface BoundIndex {
  readonly blob: Descriptor
  readonly implied: ReadonlySet<number>
}

export function erofsTarBinding(layer: Descriptor): Binding | undefined {
  return hasAnnotation(layer, indexDigest) ? { digest: digestIfValid(layer, indexDigest) } : undefined
}

/** Reads which index a layer says it has; throws BAD_FORMAT where what it says cannot be. */
export function boundIndexOf(layer: Descriptor): BoundIndex {
  const digest = digestAnnotation(layer, indexDigest)
  if (digest === undefined) throw badAnnotation(`${indexDigest} is missing`)
  return { blob: { mediaType: indexMediaType, digest, size: readSize(layer) }, implied: readImplied(layer) }
}

/**
 * Makes the annotations that bind an index.
 * @param onLoss is told what they do not say; without it they have to say all, and UNSUPPORTED is thrown
 */
export function annotationsOf({ bytes, implied }: WrittenIndex, onLoss?: OnLoss): Record<string, string> {
  if (implied.length > impliedMax) reportLoss('', `more than ${impliedMax} directories without entries`, onLoss)
  const { digest, size } = describeBlob(indexMediaType, bytes)
  return {
    [indexDigest]: digest,
    [indexSize]: String(size),
    ...(implied.length > 0 && { [impliedDirectories]: implied.slice(0, impliedMax).join() }),
  }
}

function readSize({ annotations = {} }: Descriptor): number {
  const text = annotations[indexSize] ?? ''
  if (!/^\d{1,15}$/.test(text)) throw badAnnotation(`${indexSize} is no size`)
  return Number(text)
}

function readImplied({ annotations = {} }: Descriptor): ReadonlySet<number> {
  const text = annotations[impliedDirectories] ?? ''
  const numbers = text === '' ? [] : text.split(',', impliedMax + 1)
  if (numbers.length > impliedMax || !numbers.every((number) => /^\d{1,15}$/.test(number)))
    throw badAnnotation(`${impliedDirectories} is no list of at most ${impliedMax} numbers`)
  return new Set(numbers.map(Number))
}
