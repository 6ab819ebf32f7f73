import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { readBlob, readRecord } from '../records/record-files.ts'
import { decodeRef, formatRef, listRefFiles, readRef } from '../records/refs.ts'
import { listFolder, readWhole } from '../store-files.ts'
import { digestOfName } from '../store-layout.ts'

/** Digits of a digest that must have survived: by chance two digests agree in one digit of sixteen. */
const digitsNeeded = 24

/** A document that a name can stand for, and the images of the store below it. */
export interface Top {
  readonly descriptor: Descriptor
  readonly images: ReadonlySet<Digest>
}

/** The images and indexes of a store, which names can stand for, as far as they can be read. */
export class Inventory {
  readonly records = new Map<Digest, ImageRecord>()
  /** Indexes with an image below them, and images. */
  readonly tops: readonly Top[]
  /** Descriptors of documents, also of those that are missing, as refs and indexes have them. */
  readonly #descriptors = new Map<Digest, Descriptor>()
  /** Digests that refs stand for, as far as these can be read. */
  readonly #named = new Set<Digest>()
  readonly #root: string

  constructor(root: string) {
    this.#root = root
    for (const file of listFolder(`${root}/records`)) {
      const digest = digestOfName('records', file) as Digest | undefined
      const record = digest && orUndefined(() => readRecord(root, digest))
      if (record !== undefined) this.records.set(record.manifest.digest, record)
    }
    for (const file of listRefFiles(root)) {
      const name = decodeRef(file)
      const top = name === undefined ? undefined : orUndefined(() => readRef(root, name))
      if (top === undefined) continue
      this.#named.add(top.digest)
      this.#learn(top, 0)
    }
    const images = [...this.records.values()].map(({ manifest }) => ({
      descriptor: manifest,
      images: new Set([manifest.digest]),
    }))
    this.tops = [...this.#indexes(), ...images]
  }

  /** The descriptor of a document, as what leads to it has it. */
  descriptor(digest: Digest): Descriptor | undefined {
    return this.records.get(digest)?.manifest ?? this.#descriptors.get(digest)
  }

  /**
   * Guesses what a damaged ref stood for: what most of its text still says; or, when nothing of that is left, what was
   * pulled by this very name: an index that nothing else names, whose images may have come by other names as well, or
   * else the only thing all of which did.
   */
  topOf(name: string, file: string): Descriptor | undefined {
    const remains = remainsOf(this.#root, file)
    const likely = this.tops.filter(({ descriptor }) => survives(remains, descriptor))
    if (likely.length === 1) return likely[0]?.descriptor
    const isFrom = (image: Digest): boolean => this.records.get(image)?.origin.source === name
    const indexes = this.tops.filter(({ images, descriptor }) => !images.has(descriptor.digest))
    const candidates = [
      indexes.filter(({ images, descriptor }) => !this.#named.has(descriptor.digest) && [...images].some(isFrom)),
      indexes.filter(({ images }) => [...images].every(isFrom)),
      this.tops.filter(({ images }) => [...images].every(isFrom)),
    ]
    const [only, ...others] = candidates.find(({ length }) => length > 0) ?? []
    return others.length === 0 ? only?.descriptor : undefined
  }

  #indexes(): Top[] {
    return listFolder(`${this.#root}/blobs`).flatMap((algorithm) => {
      const names = orUndefined(() => listFolder(`${this.#root}/blobs/${algorithm}`)) ?? []
      return names.flatMap((name) => {
        const digest = digestOfName('blobs', `${algorithm}/${name}`) as Digest | undefined
        const top = digest && !this.records.has(digest) ? this.#indexAt(digest) : undefined
        return top === undefined ? [] : [top]
      })
    })
  }

  #indexAt(digest: Digest): Top | undefined {
    return orUndefined(() => {
      const bytes = readBlob(this.#root, digest)
      // Configs and the like are no documents, which is no error of theirs.
      const document = bytes && parseArtifact(bytes)
      if (document?.kind !== 'index') return undefined
      const images = new Set(document.manifests.map((below) => below.digest).filter((below) => this.records.has(below)))
      const descriptor = { mediaType: document.mediaType, digest, size: bytes?.length ?? 0 }
      return images.size === 0 ? undefined : { descriptor, images }
    })
  }

  #learn(descriptor: Descriptor, depth: number): void {
    if (this.#descriptors.has(descriptor.digest) || depth > 8) return
    this.#descriptors.set(descriptor.digest, descriptor)
    orUndefined(() => {
      const bytes = readBlob(this.#root, descriptor.digest)
      const document = bytes && parseArtifact(bytes, { mediaType: descriptor.mediaType })
      if (document?.kind === 'index') for (const below of document.manifests) this.#learn(below, depth + 1)
    })
  }
}

/** The text that is left of a damaged small file; empty when it is none, or cannot be read. */
export function remainsOf(root: string, file: string): string {
  const bytes = orUndefined(() => readWhole(`${root}/${file}`, 'what is left of a file', 16 * 1024 * 1024))
  return bytes?.toString('latin1') ?? ''
}

/** Whether enough of the digest is where it would be in a ref to `descriptor`. */
function survives(remains: string, descriptor: Descriptor): boolean {
  const whole = Buffer.from(formatRef(descriptor)).toString('latin1')
  const start = whole.indexOf(descriptor.digest)
  let equal = 0
  for (let i = start; i < start + descriptor.digest.length; i++) if (remains[i] === whole[i]) equal++
  return equal - descriptor.digest.indexOf(':') >= digitsNeeded
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OnefoldError) return undefined
    throw error
  }
}
