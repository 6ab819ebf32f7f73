import type { Digest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import type { ImageRecord } from './image-record.ts'
import { readBlob, readRecord } from './record-files.ts'
import { listRefs, readRef } from './refs.ts'

/**
 * A name and the images of the store that it leads to: none when the platforms that were pulled are gone or damaged.
 */
export interface NamedImages {
  readonly name: string
  readonly top: Descriptor
  readonly records: readonly ImageRecord[]
}

/** Deeper than any index goes; every level is a document that was stored under its digest, so there are no loops. */
const depthMax = 8

/**
 * The images that names lead to. Documents are read once, however many names share them. What is damaged leads nowhere
 * here; fsck says what and why.
 */
export class Catalog {
  readonly #root: string
  readonly #records = new Map<Digest, ImageRecord | undefined>()

  constructor(root: string) {
    this.#root = root
  }

  named(name: string): NamedImages | undefined {
    const top = orUndefined(() => readRef(this.#root, name))
    return top && { name, top, records: this.#below(top) }
  }

  /** All names with their images, in code unit order. */
  all(): NamedImages[] {
    return listRefs(this.#root)
      .map((name) => this.named(name))
      .filter((named) => named !== undefined)
  }

  /** Platforms that were never pulled are in the index all the same, and not here. */
  #below(top: Descriptor): ImageRecord[] {
    const found = new Map<Digest, ImageRecord>()
    this.#collect(top, found, new Set(), 0)
    return [...found.values()]
  }

  #collect(descriptor: Descriptor, found: Map<Digest, ImageRecord>, seen: Set<Digest>, depth: number): void {
    const { digest } = descriptor
    if (seen.has(digest) || depth > depthMax) return
    seen.add(digest)
    const record = this.#record(digest)
    if (record !== undefined) return void found.set(digest, record)
    for (const below of this.#children(descriptor)) this.#collect(below, found, seen, depth + 1)
  }

  #record(digest: Digest): ImageRecord | undefined {
    if (!this.#records.has(digest))
      this.#records.set(
        digest,
        orUndefined(() => readRecord(this.#root, digest)),
      )
    return this.#records.get(digest)
  }

  #children(descriptor: Descriptor): readonly Descriptor[] {
    const bytes = orUndefined(() => readBlob(this.#root, descriptor.digest))
    const document = bytes && orUndefined(() => parseArtifact(bytes, { mediaType: descriptor.mediaType }))
    return document?.kind === 'index' ? document.manifests : []
  }
}

const damage = ['BAD_FORMAT', 'BAD_NAME', 'CORRUPT', 'LIMIT', 'UNSUPPORTED'] as const

/** The value, or undefined when what it is read from is damaged. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (damage.some((code) => hasCode(error, code))) return undefined
    throw error
  }
}
