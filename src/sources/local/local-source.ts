import type { LayerKind } from '../../formats/layer-kind.ts'
import type { AbortOptions } from '../../abort.ts'
import { checkDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { readRange } from './file-set.ts'
import { type Artifact, type BlobOptions, type FileRange, type Related, type Source, documentMax } from '../source.ts'

/** Bytes that are made when they are read, such as the tar of a directory. */
export interface MadeBlob {
  readonly length: number
  read(options: BlobOptions): AsyncIterable<Uint8Array>
}

/** Place of a blob: in a file, in memory, or nowhere until it is read. */
export type Located = FileRange | Uint8Array | MadeBlob

/** Parts that differ between sources on this machine; `localSource` makes a Source of them. */
export interface LocalParts {
  readonly name: string
  readonly kind: LayerKind
  resolve(options: AbortOptions): Promise<Artifact>
  /** Finds a blob; undefined when the source has no such one. */
  locate(descriptor: Descriptor): Promise<Located | undefined>
  related?(what: Related): Promise<Artifact | undefined>
  close(): Promise<void>
}

export function localSource(parts: LocalParts): Source {
  return {
    name: parts.name,
    kind: parts.kind,
    async resolve(options = {}) {
      options.signal?.throwIfAborted()
      return parts.resolve(options)
    },
    async fetch(descriptor, options = {}) {
      options.signal?.throwIfAborted()
      refuseLarge(descriptor)
      const bytes = await collect(
        read(await locateBlob(parts, descriptor), { ...options, lent: true }),
        descriptor.size,
      )
      checkDigest(bytes, descriptor.digest, `${descriptor.mediaType} of "${parts.name}"`)
      return bytes
    },
    async related(what, options = {}) {
      options.signal?.throwIfAborted()
      return parts.related?.(what)
    },
    async *blob(descriptor, options = {}) {
      yield* read(await locateBlob(parts, descriptor), options)
    },
    async blobFile(descriptor) {
      const found = await locateBlob(parts, descriptor)
      return 'path' in found ? found : undefined
    },
    async [Symbol.asyncDispose]() {
      await parts.close()
    },
  }
}

/** Makes a value when it is first asked for, and again only after a failure (an abort, for one). */
export function once<T>(make: (options: AbortOptions) => Promise<T>): (options: AbortOptions) => Promise<T> {
  let made: Promise<T> | undefined
  return async (options) => {
    try {
      return await (made ??= make(options))
    } catch (error) {
      made = undefined
      throw error
    }
  }
}

async function* read(found: Located, options: BlobOptions): AsyncGenerator<Uint8Array> {
  const { offset = 0, end = found.length } = options
  if ('path' in found) yield* readRange(found, options)
  else if ('read' in found) yield* upTo(found.read(options), end - offset)
  else if (end > offset) yield found.slice(offset, end)
}

/** Yields the first `length` bytes of chunks that are made in order. */
async function* upTo(chunks: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length
  if (left <= 0) return
  for await (const chunk of chunks) {
    yield chunk.length > left ? chunk.subarray(0, left) : chunk
    left -= chunk.length
    if (left <= 0) return
  }
}

/** Collects at most `size` bytes: more than a descriptor says is never kept. */
async function collect(chunks: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size)
  let filled = 0
  for await (const chunk of chunks) {
    bytes.set(chunk.subarray(0, size - filled), filled)
    filled += chunk.length
  }
  return bytes
}

/**
 * Finds a blob of the promised length. The length is compared before a byte is read: it is the cheapest lie to find.
 */
async function locateBlob(parts: LocalParts, descriptor: Descriptor): Promise<Located> {
  const found = await parts.locate(descriptor)
  if (found === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot find blob ${descriptor.digest} in "${parts.name}"`, {
      hint: 'The image is incomplete: a layer that its registry must not distribute, or a platform that was not copied.',
    })
  if (found.length === descriptor.size) return found
  throw new OnefoldError(
    'DIGEST_MISMATCH',
    `Cannot accept blob ${descriptor.digest} of "${parts.name}": it has ${found.length} bytes, expected ${descriptor.size}`,
  )
}

function refuseLarge({ digest, size }: Descriptor): void {
  if (size <= documentMax) return
  throw new OnefoldError(
    'LIMIT',
    `Cannot read document ${digest}: it has ${size} bytes, at most ${documentMax} are read`,
  )
}
