import type { SharedExtent } from '../../linux/fiemap.ts'
import type { GarbageFile, GarbageFiles } from './garbage-file.ts'

const digestBytes = 32
const leastRoom = 1024
const nothing: readonly SharedExtent[] = []

/** Objects to be deleted, packed: each takes 48 bytes, where a value of its own would take three hundred. */
export class GarbageObjects implements GarbageFiles {
  #digests = Buffer.alloc(leastRoom * digestBytes)
  #sizes = new Float64Array(leastRoom)
  #owns = new Float64Array(leastRoom)
  /** Blocks of the few that share some with other files, by place. */
  readonly #shared = new Map<number, readonly SharedExtent[]>()
  #length = 0

  get length(): number {
    return this.#length
  }

  /** First two digits of the last digest: the folder it lies in. */
  get lastFolder(): string | undefined {
    if (this.#length === 0) return undefined
    const at = (this.#length - 1) * digestBytes
    return this.#digests.toString('hex', at, at + 1)
  }

  push({ digest, size, own, shared }: GarbageFile): void {
    if (this.#length === this.#sizes.length) this.#grow()
    const place = this.#length++
    this.#digests.write(digest, place * digestBytes, 'hex')
    this.#sizes[place] = size
    this.#owns[place] = own
    if (shared.length > 0) this.#shared.set(place, shared)
  }

  pop(): GarbageFile | undefined {
    if (this.#length === 0) return undefined
    const file = this.#at(--this.#length)
    this.#shared.delete(this.#length)
    return file
  }

  *[Symbol.iterator](): Generator<GarbageFile> {
    for (let place = 0; place < this.#length; place++) yield this.#at(place)
  }

  #at(place: number): GarbageFile {
    return {
      digest: this.#digests.toString('hex', place * digestBytes, (place + 1) * digestBytes),
      size: this.#sizes[place] ?? 0,
      own: this.#owns[place] ?? 0,
      shared: this.#shared.get(place) ?? nothing,
    }
  }

  #grow(): void {
    const room = 2 * this.#sizes.length
    this.#digests = Buffer.concat([this.#digests], room * digestBytes)
    this.#sizes = resized(this.#sizes, room)
    this.#owns = resized(this.#owns, room)
  }
}

function resized(numbers: Float64Array, room: number): Float64Array<ArrayBuffer> {
  const grown = new Float64Array(room)
  grown.set(numbers)
  return grown
}
