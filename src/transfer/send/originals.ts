import { DigestCheck, algorithmOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { Source } from '../../sources/source.ts'
import type { WatchOptions } from './layer-tar.ts'

/** Blobs as images were pulled with them, read once more where they came from. */
export class Originals implements AsyncDisposable {
  readonly #options: SourceOptions
  readonly #watch: WatchOptions
  readonly #sources = new Map<string, Promise<Source>>()

  constructor(options: SourceOptions, watch: WatchOptions) {
    this.#options = options
    this.#watch = watch
  }

  /**
   * The bytes of a blob from `origin`, the name of a source; they are checked on the way, and have the digest they must
   * have when the last one was given. Chunks are valid until the next is asked for.
   */
  async *blob(blob: Descriptor, origin: string): AsyncGenerator<Uint8Array> {
    // What is sent is named by sha256.
    if (algorithmOf(blob.digest) !== 'sha256') throw cannotCopy(blob, new Error('it is not named by sha256'))
    const { signal, onProgress } = this.#watch
    const { digest, size } = blob
    const check = new DigestCheck(digest)
    try {
      const source = await this.#open(origin)
      let done = 0
      for await (const chunk of source.blob(blob, { signal, lent: true })) {
        check.update(chunk)
        done += chunk.length
        onProgress?.({ type: 'layer', digest, size, done, finished: false })
        yield chunk
      }
      check.finish(`blob ${digest} of ${origin}`)
      onProgress?.({ type: 'layer', digest, size, done, finished: true })
    } catch (error) {
      signal?.throwIfAborted()
      throw cannotCopy(blob, error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of await Promise.allSettled(this.#sources.values()))
      if (opened.status === 'fulfilled') await opened.value[Symbol.asyncDispose]()
  }

  /** Loaded when it is needed: most images are sent without. */
  #open(origin: string): Promise<Source> {
    let source = this.#sources.get(origin)
    if (source === undefined) {
      source = import('../../sources/open-source.ts').then(({ openSource }) => openSource(origin, this.#options))
      this.#sources.set(origin, source)
    }
    return source
  }
}

function cannotCopy({ digest }: Descriptor, error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = error instanceof OnefoldError ? error.code : 'UNSUPPORTED'
  const found = `the store has only parts of it, and its origin does not give the rest: ${error.message}`
  return new OnefoldError(code, `Cannot send layer ${digest}: ${found}`, {
    cause: error,
    hint: 'Make the origin reachable, or pull all of the image from another.',
  })
}
