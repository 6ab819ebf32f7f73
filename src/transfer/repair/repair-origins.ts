import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { Source } from '../../sources/source.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'

/** Opens each origin once, however many images came from it, when the first byte is needed. */
export class Origins implements AsyncDisposable {
  readonly #store: Store
  readonly #options: SourceOptions
  readonly #from: string | undefined
  readonly #opened = new Map<string, Promise<Source>>()

  /** @param from place to use instead of every origin */
  constructor(store: Store, options: SourceOptions, from: string | undefined) {
    this.#store = store
    this.#options = options
    this.#from = from
  }

  /** Returns the places from which an image may be fetched, the likeliest first. */
  namesOf(candidates: readonly (string | undefined)[]): string[] {
    if (this.#from !== undefined) return [this.#from]
    return [...new Set(candidates.filter((name) => name !== undefined))]
  }

  /**
   * Returns a source that reads documents from the store, and asks the origin for the rest. It stays silent, and
   * offline, as long as nothing is missing.
   * @param record record of the image that it is for, as far as that is known
   */
  async source(origin: string, record: ImageRecord | undefined): Promise<Source> {
    const open = async (): Promise<Source> => await this.#open(origin)
    const kind = record === undefined ? (await open()).kind : (record.layers[0]?.kind ?? 'layer')
    return {
      name: record?.origin.source ?? origin,
      kind,
      ...(record === undefined ? {} : { kinds: record.layers.map((layer) => layer.kind) }),
      resolve: async (options) => (await open()).resolve(options),
      fetch: async (descriptor, options) =>
        this.#stored(descriptor) ?? (await (await open()).fetch(descriptor, options)),
      async *blob(descriptor, options) {
        yield* (await open()).blob(descriptor, options)
      },
      blobFile: async (descriptor) => (await open()).blobFile?.(descriptor),
      async [Symbol.asyncDispose]() {},
    }
  }

  #open(origin: string): Promise<Source> {
    const opened =
      this.#opened.get(origin) ??
      import('../../sources/open-source.ts').then(({ openSource }) =>
        openSource(origin, { ...this.#options, omit: [this.#store.root] }),
      )
    this.#opened.set(origin, opened)
    return opened
  }

  #stored({ digest }: Descriptor): Uint8Array | undefined {
    try {
      return this.#store.blob(digest)
    } catch (error) {
      if (error instanceof OnefoldError) return undefined
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.values())
    for (const result of opened) if (result.status === 'fulfilled') await result.value[Symbol.asyncDispose]()
  }
}

/** Returns the origin that a damaged record still names. */
export function originIn(remains: string): string | undefined {
  const [, text] = /"source": ("(?:[^"\\]|\\.)*")/.exec(remains) ?? []
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'latin1').toString())
    return typeof value === 'string' && looksLikeSource(value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * Tells whether a name is a place: written with a transport or a host, it can only have been given by a pull from
 * there.
 */
export function isPlace(name: string): boolean {
  return /^(?:docker:\/\/|oci:|oci-archive:|docker-archive:|dir:|rootfs:|tar:|[^/]+[.:][^/]*\/)/.test(name)
}

/**
 * Tells whether a name may be asked for. A short name that somebody gave is no place; asking Docker's registry for it
 * would tell others what is here.
 */
export function looksLikeSource(name: string): boolean {
  return /[/:]/.test(name)
}
