/**
 * Protocol by which the reader of a format gets bytes without doing I/O: it is a generator that asks for parts of blobs
 * and documents, and its driver answers (src/content/drive-reading.ts).
 */
import type { Digest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Descriptor } from './oci/descriptor.ts'

/** Request of a reader. */
export type ReadRequest =
  /** Exactly these bytes of a blob, not verified: the reader checks what it makes of them. */
  | { readonly kind: 'range'; readonly blob: Descriptor; readonly start: number; readonly end: number }
  /** A blob as a whole, of no more than `sizeMax` bytes, verified by its digest. `what` names it in errors. */
  | { readonly kind: 'blob'; readonly blob: Descriptor; readonly sizeMax: number; readonly what: string }
  /** A manifest or index that goes with the image, verified where it is asked for by digest. */
  | { readonly kind: 'related'; readonly related: Related }

/** Documents of a repository or layout that may go with an image. */
export type Related =
  /** Manifest of this digest. */
  | { readonly digest: Digest }
  /** Manifest whose tag is the image's own with this behind it. */
  | { readonly tagSuffix: string }
  /** Index of the manifests whose subject is the one of this digest. */
  | { readonly referrersOf: Digest }

/** Small document as served, with the descriptor that its bytes have. */
export interface Artifact {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

/** Answer to a request: bytes for ranges and blobs; a document, or undefined where there is no such thing. */
export type Answer = Uint8Array | Artifact | undefined

/** Work of a reader, to be driven to its end. */
export type Reading<T> = Generator<ReadRequest, T, Answer>

/** Reads bytes `start` to `end` of a blob. */
export function* readRange(blob: Descriptor, start: number, end: number): Reading<Uint8Array> {
  const bytes = yield { kind: 'range', blob, start, end }
  if (bytes instanceof Uint8Array && bytes.length === end - start) return bytes
  throw notWhatWasAsked(`bytes ${start} to ${end} of blob ${blob.digest}`)
}

/** Reads the last `length` bytes of a blob, or all of it where that is less. */
export function* readTail(blob: Descriptor, length: number): Reading<Uint8Array> {
  return yield* readRange(blob, Math.max(0, blob.size - length), blob.size)
}

/** Reads a blob whole; throws LIMIT where its descriptor has more bytes than `sizeMax`. */
export function* readBlob(blob: Descriptor, sizeMax: number, what: string): Reading<Uint8Array> {
  const bytes = yield { kind: 'blob', blob, sizeMax, what }
  if (bytes instanceof Uint8Array) return bytes
  throw notWhatWasAsked(`blob ${blob.digest}`)
}

/** Reads a document that goes with the image; undefined where there is none. */
export function* readRelated(related: Related): Reading<Artifact | undefined> {
  const document = yield { kind: 'related', related }
  if (!(document instanceof Uint8Array)) return document
  throw notWhatWasAsked('a document')
}

function notWhatWasAsked(what: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot go on reading a format: it asked for ${what} and was given something else`)
}
