import { closeSync, openSync, readSync } from 'node:fs'
import { DigestCheck } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { type Decoder, decoderFor } from '../../codecs/zlib.ts'
import type { FileRange } from '../../sources/source.ts'
import type { LayerJob } from './layer-job.ts'
import type { Ring } from '../../threads/ring.ts'

const readBytes = 1024 * 1024
const fileBuffer = new Uint8Array(readBytes)

/** Where inflated bytes go: room to put them, and word of how many there are. */
export interface TarSink {
  claim(): Uint8Array
  publish(length: number): void
}

/** The bytes of blobs come from a local file, or from the main thread by way of `fetched`. */
export interface BlobIntake {
  readonly fetched: Ring
  /** BigInt64[1]: bytes of the current blob that have been taken in. */
  readonly progress: BigInt64Array
}

/**
 * Inflates a layer's blob into the sink. It returns only when the blob was the one named and its tar has the diffID that
 * was claimed; what has gone into the sink before that is not to be believed.
 */
export function inflateLayer(job: LayerJob, { fetched, progress }: BlobIntake, sink: TarSink): void {
  const blob = new DigestCheck(job.blob)
  const tar = new DigestCheck(job.diffId)
  const out = new SlotWriter(job, tar, sink)
  const pieces = job.file === undefined ? fetchedPieces(fetched) : filePieces(job.file)
  let decoder: Decoder | undefined
  let damage: unknown
  let seen = 0
  try {
    for (const piece of pieces) {
      fetched.throwIfAborted()
      blob.update(piece)
      seen += piece.length
      Atomics.store(progress, 0, BigInt(seen))
      if (damage !== undefined) continue
      try {
        decoder ??= decoderFor(piece, job.limits.zstdWindowLog)
        out.decode(decoder, piece)
      } catch (error) {
        if (!hasCode(error, 'BAD_FORMAT')) throw error
        damage = error
      }
    }
    // Bytes that are not the blob's explain every other fault, so they are reported first.
    blob.finish(`blob ${job.blob}`)
    if (seen !== job.blobSize) throw wrongSize(job, seen)
    if (damage !== undefined) throw damage
    decoder?.end()
    out.flush()
    tar.finish(`layer ${job.blob}, whose config names the diffID`)
  } finally {
    decoder?.[Symbol.dispose]()
  }
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

/** Fills one piece of the sink's room after the other with what a decoder gives. */
class SlotWriter {
  readonly #job: LayerJob
  readonly #tar: DigestCheck
  readonly #sink: TarSink
  #slot: Uint8Array | undefined
  #used = 0
  #total = 0

  constructor(job: LayerJob, tar: DigestCheck, sink: TarSink) {
    this.#job = job
    this.#tar = tar
    this.#sink = sink
  }

  /** Decodes all of `piece`, and all that the decoder held back. */
  decode(decoder: Decoder, piece: Uint8Array): void {
    let rest = piece
    for (;;) {
      this.#slot ??= this.#sink.claim()
      const room = this.#slot.subarray(this.#used)
      const { consumed, produced } = decoder.step(rest, room)
      rest = rest.subarray(consumed)
      this.#used += produced
      if (this.#used === this.#slot.length) this.flush()
      else if (rest.length === 0) return
      else if (consumed === 0 && produced === 0)
        throw new OnefoldError('BAD_FORMAT', `Cannot decompress layer ${this.#job.blob}: the decoder is stuck`)
    }
  }

  flush(): void {
    if (this.#slot === undefined || this.#used === 0) return
    this.#total += this.#used
    const { limits, blob } = this.#job
    if (this.#total > limits.layerBytes)
      throw new OnefoldError(
        'LIMIT',
        `Cannot import layer ${blob}: it unfolds to more than ${limits.layerBytes} bytes`,
        {
          hint: 'If you trust the image, raise the limit with --max-layer-size.',
        },
      )
    this.#tar.update(this.#slot.subarray(0, this.#used))
    this.#sink.publish(this.#used)
    this.#slot = undefined
    this.#used = 0
  }
}

function wrongSize(job: LayerJob, seen: number): OnefoldError {
  return new OnefoldError(
    'DIGEST_MISMATCH',
    `Cannot accept blob ${job.blob}: it has ${seen} bytes, its manifest says ${job.blobSize}`,
  )
}
