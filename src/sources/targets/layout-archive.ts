import { dirname } from 'node:path'
import { type Digest, algorithmOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { emptyLayout } from '../../formats/oci/rewrite-manifest.ts'
import { withResult } from '../../streams.ts'
import { readRange } from '../local/file-set.ts'
import { keepTemporarily } from '../temporary.ts'
import { addToIndex, layoutMarker, layoutPath, naming } from './layout-files.ts'
import { OutputFile } from './output-file.ts'
import { TarFile, plainSizeMax } from './tar-file.ts'
import type { BlobName, NamedManifest, Target } from './target.ts'

/** A layout in a tar, made anew as skopeo does; what was there is replaced once the new one is whole. */
export class LayoutArchive implements Target {
  readonly name: string | undefined
  readonly #path: string
  readonly #file: OutputFile
  readonly #tar: TarFile
  readonly #folders = new Set<string>()
  readonly #blobs = new Set<Digest>()

  constructor(path: string, name: string | undefined) {
    this.name = name
    this.#path = path
    this.#file = openSeekable(path)
    this.#tar = new TarFile(this.#file)
    this.#tar.directory('blobs')
  }

  async addLayer(chunks: AsyncIterable<Uint8Array>, sizeMax: number): Promise<BlobName> {
    this.#needFolder('sha256')
    if (sizeMax > plainSizeMax) return this.#addLarge(chunks)
    const { stream, result } = withResult(naming(chunks))
    await this.#tar.streamThenName(stream, () => layoutPath(result().digest))
    this.#blobs.add(result().digest)
    return result()
  }

  async putBlob({ digest }: Descriptor, bytes: Uint8Array): Promise<void> {
    this.#put(digest, bytes)
  }

  async putManifest({ digest }: Descriptor, bytes: Uint8Array): Promise<void> {
    this.#put(digest, bytes)
  }

  async finish(manifests: readonly NamedManifest[]): Promise<void> {
    this.#tar.file('index.json', addToIndex(emptyLayout, manifests))
    this.#tar.file('oci-layout', layoutMarker)
    this.#tar.end()
    this.#file.finish()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#file[Symbol.dispose]()
  }

  /** Adds a blob whose size decides how long its header is, so that it has to be known before. */
  async #addLarge(chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    const { stream, result } = withResult(naming(chunks))
    const kept = await keepTemporarily(stream, dirname(this.#path))
    try {
      await this.#tar.stream(layoutPath(result().digest), kept.range.length, readRange(kept.range, { lent: true }))
    } finally {
      await kept.close()
    }
    return result()
  }

  #put(digest: Digest, bytes: Uint8Array): void {
    if (this.#blobs.has(digest)) return
    this.#blobs.add(digest)
    this.#needFolder(algorithmOf(digest))
    this.#tar.file(layoutPath(digest), bytes)
  }

  #needFolder(algorithm: string): void {
    if (!this.#folders.has(algorithm)) this.#tar.directory(`blobs/${algorithm}`)
    this.#folders.add(algorithm)
  }
}

function openSeekable(path: string): OutputFile {
  const file = OutputFile.open(path)
  if (file.canSeek) return file
  file[Symbol.dispose]()
  throw new OnefoldError(
    'UNSUPPORTED',
    `Cannot write an OCI archive to ${JSON.stringify(path)}: it is no regular file`,
    { hint: 'docker-archive: and tar: can be written to a pipe.' },
  )
}
