import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type DiffId, type Digest, digestOf, hexOf, parseDiffId, parseDigest } from '../src/digest.ts'
import type { Descriptor } from '../src/formats/oci/descriptor.ts'
import { writeConfig } from '../src/formats/oci/image-config.ts'
import { parseIndex, writeIndex, writeManifest } from '../src/formats/oci/manifest.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import { hostPlatform } from '../src/formats/oci/platform.ts'

export interface LayerBlob {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly tarSize: number
}

const refName = 'org.opencontainers.image.ref.name'

/** An OCI layout on disk that images are added to, over many runs. */
export class Layout {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
    writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  }

  pathOf(digest: Digest): string {
    return join(this.folder, 'blobs/sha256', hexOf(digest))
  }

  has(tag: string): boolean {
    return this.#manifests().some(({ annotations }) => annotations?.[refName] === tag)
  }

  /** Gives the image of these layers the name `tag`, which an earlier image loses. */
  addImage(tag: string, layers: readonly LayerBlob[]): void {
    const diffIds = layers.map(({ diffId }) => diffId)
    const run = { env: ['PATH=/usr/local/bin:/usr/bin:/bin'], cmd: ['/bin/sh'] }
    const config = this.#put(mediaTypes.config, writeConfig({ platform: hostPlatform(), diffIds, run }))
    const manifest = this.#put(mediaTypes.manifest, writeManifest({ config, layers: layers.map(({ blob }) => blob) }))
    const others = this.#manifests().filter(({ annotations }) => annotations?.[refName] !== tag)
    const manifests = [...others, { ...manifest, annotations: { [refName]: tag } }]
    writeFileSync(this.#index(), writeIndex({ manifests }))
  }

  #put(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = digestOf(bytes)
    writeFileSync(this.pathOf(digest), bytes)
    return { mediaType, digest, size: bytes.length }
  }

  #manifests(): readonly Descriptor[] {
    return existsSync(this.#index()) ? parseIndex(readFileSync(this.#index()), 'index.json').manifests : []
  }

  #index(): string {
    return join(this.folder, 'index.json')
  }
}

/** A gzip layer on its way into a layout: it is given the tar and its compressed form, each in order. */
export class LayerWriter {
  readonly #layout: Layout
  readonly #path: string
  readonly #file: number
  readonly #diffId = createHash('sha256')
  readonly #digest = createHash('sha256')
  #tarSize = 0
  #size = 0

  constructor(layout: Layout) {
    this.#layout = layout
    this.#path = join(layout.folder, `new-${process.pid}`)
    this.#file = openSync(this.#path, 'w')
  }

  tar(bytes: Uint8Array): void {
    this.#diffId.update(bytes)
    this.#tarSize += bytes.length
  }

  gzip(bytes: Uint8Array): void {
    this.#digest.update(bytes)
    this.#size += bytes.length
    for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at)
  }

  finish(): LayerBlob {
    closeSync(this.#file)
    const digest = parseDigest(`sha256:${this.#digest.digest('hex')}`)
    renameSync(this.#path, this.#layout.pathOf(digest))
    return {
      blob: { mediaType: mediaTypes.layerGzip, digest, size: this.#size },
      diffId: parseDiffId(`sha256:${this.#diffId.digest('hex')}`),
      tarSize: this.#tarSize,
    }
  }
}
