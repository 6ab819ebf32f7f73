import { checkDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Descriptor } from '../formats/entry.ts'
import { readRange, readRangeWhole } from './files.ts'
import { type AbortOptions, type Artifact, type FileRange, type Source, documentMax } from './source.ts'

/** What differs between sources on this machine; `localSource` makes a Source of it. */
export interface LocalParts {
  readonly name: string
  readonly kind: Source['kind']
  resolve(options: AbortOptions): Promise<Artifact>
  /** Where a blob lies, or the blob itself when it was made here; undefined when the source has no such blob. */
  locate(descriptor: Descriptor): Promise<FileRange | Uint8Array | undefined>
  close(): Promise<void>
}

export function localSource(parts: LocalParts): Source {
  const locate = (descriptor: Descriptor): Promise<FileRange | Uint8Array> => locateBlob(parts, descriptor)
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
      const found = await locate(descriptor)
      const bytes = found instanceof Uint8Array ? found : await readRangeWhole(found, descriptor.digest, options)
      checkDigest(bytes, descriptor.digest, `${descriptor.mediaType} of "${parts.name}"`)
      return bytes
    },
    async *blob(descriptor, options = {}) {
      const found = await locate(descriptor)
      if (!(found instanceof Uint8Array)) yield* readRange(found, options)
      else if (found.length > (options.offset ?? 0)) yield found.slice(options.offset ?? 0)
    },
    async blobFile(descriptor) {
      const found = await locate(descriptor)
      return found instanceof Uint8Array ? undefined : found
    },
    async [Symbol.asyncDispose]() {
      await parts.close()
    },
  }
}

/** A blob of the promised length. The length is compared before a byte is read: it is the cheapest lie to find. */
async function locateBlob(parts: LocalParts, descriptor: Descriptor): Promise<FileRange | Uint8Array> {
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
