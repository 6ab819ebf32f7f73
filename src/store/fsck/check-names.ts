import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import { readBlob } from '../records/record-files.ts'

/** Deeper than any index goes. */
const depthMax = 8

/** The documents that names lead to, down to manifests, with the names that lead there. */
export class Reached {
  readonly #root: string
  readonly #names = new Map<Digest, Set<string>>()
  /** Indexes that could not be read: what lies below them is not known, so nothing is known to be unneeded. */
  #whole = true

  constructor(root: string) {
    this.#root = root
  }

  /**
   * Returns whether the name leads to an image.
   * @param hasRecord whether a digest is that of an image, below which nothing has to be looked for
   */
  add(name: string, top: Descriptor, hasRecord: (digest: Digest) => boolean): boolean {
    return this.#reach(name, top, hasRecord, 0)
  }

  /** A name whose ref cannot be read. */
  unknown(): void {
    this.#whole = false
  }

  /** Whether everything that some name leads to is known. */
  get whole(): boolean {
    return this.#whole
  }

  has(digest: string): boolean {
    return this.#names.has(digest as Digest)
  }

  names(digest: Digest): string[] {
    return [...(this.#names.get(digest) ?? [])].toSorted()
  }

  #reach(
    name: string,
    { digest, mediaType }: Descriptor,
    hasRecord: (digest: Digest) => boolean,
    depth: number,
  ): boolean {
    const names = this.#names.get(digest) ?? new Set()
    if (names.has(name) || depth > depthMax) return false
    this.#names.set(digest, names.add(name))
    if (hasRecord(digest)) return true
    let found = false
    for (const below of this.#children(digest, mediaType, depth))
      if (this.#reach(name, below, hasRecord, depth + 1)) found = true
    return found
  }

  #children(digest: Digest, mediaType: string, depth: number): readonly Descriptor[] {
    try {
      const bytes = readBlob(this.#root, digest)
      // At the top something has to be there; platforms of an index that were never pulled need not.
      if (bytes === undefined) this.#whole &&= depth > 0
      const document = bytes && parseArtifact(bytes, { mediaType })
      return document?.kind === 'index' ? document.manifests : []
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
      this.#whole = false
      return []
    }
  }
}
