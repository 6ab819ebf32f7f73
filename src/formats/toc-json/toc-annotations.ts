/** Which table a layer has and where it lies, as its descriptor says. */
import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../entry.ts'
import { bareMediaType } from '../oci/media-types.ts'
import { type Position, skippableHeaderBytes } from '../stargz-zstd/zstd-footer.ts'
import type { TocFormat } from '../toc.ts'

/** Hash of the JSON: eStargz, stargz' zstd dialect. */
export const stargzTocDigest = 'containerd.io/snapshot/stargz/toc.digest'
/** Bytes of the tar: the same two. */
export const stargzTarSize = 'io.containers.estargz.uncompressed-size'
/** In the image of external tables: the digest of the layer that a table is of. */
export const stargzLayerDigest = 'containerd.io/snapshot/stargz/layer.digest'
/** Hash of the *compressed* table, and "offset:bytes:bytes decoded:1". */
export const stargzZstdChecksum = 'io.containers.zstd-chunked.manifest-checksum'
export const stargzZstdPosition = 'io.containers.zstd-chunked.manifest-position'
/** As above in containers' dialect, whose name differs by "github." alone; the tar-split has no kind at its end. */
export const chunkedChecksum = 'io.github.containers.zstd-chunked.manifest-checksum'
export const chunkedPosition = 'io.github.containers.zstd-chunked.manifest-position'
export const chunkedTarSplit = 'io.github.containers.zstd-chunked.tarsplit-position'

/**
 * The format of the table that the manifest binds, or undefined. Throws BAD_FORMAT for a layer that claims two: one
 * digest would then name two trees.
 */
export function boundToc({ annotations = {}, mediaType }: Descriptor): Exclude<TocFormat, 'soci'> | undefined {
  const has = (name: string): boolean => Object.hasOwn(annotations, name)
  const stargz = has(stargzTocDigest) || has(stargzZstdChecksum)
  if (has(chunkedChecksum)) {
    if (stargz) throw badAnnotation('the tables of two formats are bound to one layer')
    return 'zstd-chunked'
  }
  if (!stargz) return undefined
  return has(stargzZstdChecksum) || isZstd(mediaType) ? 'stargz-zstd' : 'estargz'
}

/** What binds the table, and so names it together with the blob: undefined where nothing does, or nothing that is a digest. */
export function tocDigestOf({ annotations = {} }: Descriptor): Digest | undefined {
  const texts = [stargzTocDigest, chunkedChecksum, stargzZstdChecksum].map((name) => ownText(annotations, name))
  return texts.filter((text) => text !== undefined).find(isDigest)
}

export function isZstd(mediaType: string): boolean {
  return /[+.]zstd$/.test(bareMediaType(mediaType))
}

export function digestAnnotation({ annotations = {} }: Descriptor, name: string): Digest | undefined {
  const text = ownText(annotations, name)
  if (text === undefined) return undefined
  if (!isDigest(text)) throw badAnnotation(`${name} is no digest`)
  return text
}

/** @param numbers 3, or 4 where a kind follows, which must be 1 */
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

/** Where what lies before a table in a skippable frame ends. */
export function frameStart({ start }: Position): number {
  return start - skippableHeaderBytes
}

function ownText(annotations: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(annotations, name) ? annotations[name] : undefined
}

export function badAnnotation(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot use the table of contents of a layer: ${found}`)
}
