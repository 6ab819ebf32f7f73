import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { DigestCheck } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { detectCompression } from '../../formats/compression.ts'
import { copier, gunzip, unzstd, type Decoder } from '../../linux/zlib.ts'
import type { FileRange } from '../../sources/source.ts'
import type { LaneSetup, LayerJob } from './job.ts'
import { Ring } from './ring.ts'
import { serveThread } from './thread.ts'

/** First half of a lane: blob bytes in, tar bytes out, both hashed on the way. */

const readBytes = 1024 * 1024
const setup = workerData as LaneSetup
const inflated = new Ring(setup.inflated)
const fetched = new Ring(setup.fetched)
const progress = new BigInt64Array(setup.progress)
const fileBuffer = new Uint8Array(readBytes)

serveThread(parentPort, inflateLayer, () => {
  inflated.end('aborted')
  fetched.end('aborted')
})

/** Ends the ring as 'done' only when the blob was the one named and its tar has the diffID that was claimed. */
function inflateLayer(job: LayerJob): undefined {
  const blob = new DigestCheck(job.blob)
  const tar = new DigestCheck(job.diffId)
  const out = new SlotWriter(job, tar)
  const pieces = job.file === undefined ? fetchedPieces() : filePieces(job.file)
  let decoder: Decoder | undefined
  let damage: unknown
  let seen = 0
  try {
    for (const piece of pieces) {
      blob.update(piece)
      seen += piece.length
      Atomics.store(progress, 0, BigInt(seen))
      if (damage !== undefined) continue
      try {
        decoder ??= decoderFor(piece, job)
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
    inflated.end('done')
  } finally {
    decoder?.[Symbol.dispose]()
  }
}

/** By magic, never by media type: registries serve every mixture of the two. */
function decoderFor(first: Uint8Array, job: LayerJob): Decoder {
  switch (detectCompression(first)) {
    case 'gzip':
      return gunzip()
    case 'zstd':
      return unzstd(job.limits.zstdWindowLog)
    case 'none':
      return copier()
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

function* fetchedPieces(): Generator<Uint8Array> {
  for (let piece = fetched.take(); piece !== undefined; piece = fetched.take()) {
    yield piece
    fetched.release()
  }
}

/** Fills slots of the ring one after the other with what a decoder gives. */
class SlotWriter {
  readonly #job: LayerJob
  readonly #tar: DigestCheck
  #slot: Uint8Array | undefined
  #used = 0
  #total = 0

  constructor(job: LayerJob, tar: DigestCheck) {
    this.#job = job
    this.#tar = tar
  }

  /** Decodes all of `piece`, and all that the decoder held back. */
  decode(decoder: Decoder, piece: Uint8Array): void {
    let rest = piece
    for (;;) {
      this.#slot ??= inflated.claim()
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
    inflated.publish(this.#used)
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
