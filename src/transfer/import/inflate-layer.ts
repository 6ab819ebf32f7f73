import { closeSync, openSync, readSync } from 'node:fs'
import { DigestCheck } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { Drain } from '../../codecs/codec.ts'
import { decoderFor } from '../../codecs/decoder-of.ts'
import type { FileRange } from '../../sources/source.ts'
import type { LayerJob } from './layer-job.ts'
import type { Ring } from '../../threads/ring.ts'

const readBytes = 1024 * 1024
const fileBuffer = new Uint8Array(readBytes)

/** Sink for inflated bytes: gives room to put them, and takes the number of bytes that were put. */
export interface TarSink {
  claim(): Uint8Array
  publish(length: number): void
}

/** Source of a blob's bytes where they are in no local file: the main thread, by way of `fetched`. */
export interface BlobIntake {
  readonly fetched: Ring
  /** BigInt64[1]: number of bytes of the current blob that have been taken in. */
  readonly progress: BigInt64Array
}

/**
 * Inflates a layer's blob into the sink. It returns only when the blob was the one named and its tar has the diffID
 * that was claimed; bytes that went into the sink before that are not to be believed.
 */
export function inflateLayer(job: LayerJob, { fetched, progress }: BlobIntake, sink: TarSink): void {
  const blob = new DigestCheck(job.blob)
  using inflater = new LayerInflater(job, sink)
  let seen = 0
  for (const piece of job.file === undefined ? fetchedPieces(fetched) : filePieces(job.file)) {
    fetched.throwIfAborted()
    blob.update(piece)
    seen += piece.length
    Atomics.store(progress, 0, BigInt(seen))
    inflater.write(piece)
  }
  // Bytes that are not the blob's explain every other fault, so they are reported first.
  blob.finish(`blob ${job.blob}`)
  if (seen !== job.blobSize) throw wrongSize(job, seen)
  inflater.finish()
}

function* filePieces(file: FileRange): Generator<Uint8Array> {
  const fd = openSync(file.path, 'r')
  try {
    for (let done = 0; done < file.length;) {
      const length = Math.min(readBytes, file.length - done)
      const read = readSync(fd, fileBuffer, 0, length, file.offset + done)
      if (read === 0)
        throw new OnefoldError(
          'BAD_FORMAT',
          `Cannot read "${file.path}": it ends before byte ${file.offset + file.length}`,
        )
      yield fileBuffer.subarray(0, read)
      done += read
    }
  } finally {
    closeSync(fd)
  }
}

function* fetchedPieces(fetched: Ring): Generator<Uint8Array> {
  for (let piece = fetched.take(); piece !== undefined; piece = fetched.take()) {
    yield piece
    fetched.release()
  }
}

/** Inflates a layer into one piece of the sink's room after the other, and hashes the tar on the way. */
class LayerInflater implements Disposable {
  readonly #job: LayerJob
  readonly #sink: TarSink
  readonly #tar: DigestCheck
  #drain: Drain | undefined
  #slot: Uint8Array | undefined
  #used = 0
  #total = 0
  #damage: unknown

  constructor(job: LayerJob, sink: TarSink) {
    this.#job = job
    this.#sink = sink
    this.#tar = new DigestCheck(job.diffId)
  }

  /**
   * Takes the next piece of the blob; damage that it finds is reported by finish(), and nothing is decoded after it.
   */
  write(piece: Uint8Array): void {
    if (this.#damage !== undefined) return
    try {
      this.#drain ??= new Drain(decoderFor(piece, this.#job.limits.zstdWindowLog), `layer ${this.#job.blob}`)
      this.#drain.give(piece)
      this.#fill(this.#drain)
    } catch (error) {
      if (!hasCode(error, 'BAD_FORMAT')) throw error
      this.#damage = error
    }
  }

  finish(): void {
    if (this.#damage !== undefined) throw this.#damage
    this.#drain?.end()
    this.#flush()
    this.#tar.finish(`layer ${this.#job.blob}, whose config names the diffID`)
  }

  [Symbol.dispose](): void {
    this.#drain?.[Symbol.dispose]()
  }

  #fill(drain: Drain): void {
    for (;;) {
      this.#slot ??= this.#sink.claim()
      const length = drain.read(this.#used === 0 ? this.#slot : this.#slot.subarray(this.#used))
      if (length === 0) return
      this.#used += length
      if (this.#used === this.#slot.length) this.#flush()
    }
  }

  #flush(): void {
    if (this.#slot === undefined || this.#used === 0) return
    this.#total += this.#used
    if (this.#total > this.#job.limits.layerBytes) throw unfoldsTooFar(this.#job)
    this.#tar.update(this.#slot.subarray(0, this.#used))
    this.#sink.publish(this.#used)
    this.#slot = undefined
    this.#used = 0
  }
}

function unfoldsTooFar({ blob, limits }: LayerJob): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot import layer ${blob}: it unfolds to more than ${limits.layerBytes} bytes`, {
    hint: 'If you trust the image, raise the limit with --max-layer-size.',
  })
}

function wrongSize(job: LayerJob, seen: number): OnefoldError {
  return new OnefoldError(
    'DIGEST_MISMATCH',
    `Cannot accept blob ${job.blob}: it has ${seen} bytes, its manifest says ${job.blobSize}`,
  )
}
