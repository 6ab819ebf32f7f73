import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type DiffId, digestOf, parseDiffId } from '../src/digest.ts'
import {
  type Descriptor,
  type Entry,
  type EntryType,
  type Platform,
  noContent,
  noXattrs,
} from '../src/formats/entry.ts'
import { type RunConfig, writeConfig } from '../src/formats/oci/config.ts'
import { writeIndex, writeManifest } from '../src/formats/oci/manifest.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../src/formats/tar/write.ts'
import { scratch } from './scratch.ts'

/** An entry with the bytes that a test wants in it. */
export interface TestEntry {
  readonly entry: Entry
  readonly body: Uint8Array
}

/** What a test may say of an entry; the rest is 0:0, mtime 0, 0755 for directories and 0644 for everything else. */
export type Attributes = Partial<Omit<Entry, 'path' | 'type' | 'content'>>

export function file(path: string, body: string | Uint8Array = '', attributes: Attributes = {}): TestEntry {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const made = entryOf(path, 'file', attributes)
  return {
    entry: bytes.length === 0 ? made : { ...made, content: { kind: 'unknown', size: bytes.length } },
    body: bytes,
  }
}

export function directory(path: string, attributes: Attributes = {}): TestEntry {
  return bare(path, 'directory', { mode: 0o755, ...attributes })
}

export function symlink(path: string, target: string, attributes: Attributes = {}): TestEntry {
  return bare(path, 'symlink', { mode: 0o777, link: target, ...attributes })
}

export function hardlink(path: string, to: string, attributes: Attributes = {}): TestEntry {
  return bare(path, 'hardlink', { link: to, ...attributes })
}

/** A device, FIFO or anything else without content. */
export function special(path: string, type: EntryType, attributes: Attributes = {}): TestEntry {
  return bare(path, type, attributes)
}

/** The entry that deletes `path` from the layers below. */
export function whiteout(path: string): TestEntry {
  const slash = path.lastIndexOf('/') + 1
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`)
}

/** The entry that hides what the layers below have in the directory `path`. */
export function opaque(path: string): TestEntry {
  return file(path === '' ? '.wh..wh..opq' : `${path}/.wh..wh..opq`)
}

/** A whole tar, the same bytes for the same entries. */
export function tarOf(entries: readonly TestEntry[]): Buffer {
  const parts = entries.flatMap(({ entry, body }) => [
    writeTarHeader(entry, body.length),
    body,
    tarPadding(body.length),
  ])
  return Buffer.concat([...parts, tarTrailer()])
}

export type TestCompression = 'none' | 'gzip' | 'zstd'

export interface ImageOptions {
  /** The lowest first: entries, or a tar that the test made itself. */
  readonly layers: readonly (readonly TestEntry[] | Uint8Array)[]
  readonly run?: Partial<RunConfig>
  readonly platform?: Platform
  /** Default gzip. */
  readonly compress?: TestCompression
  readonly annotations?: Readonly<Record<string, string>>
}

export interface BuiltImage {
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly diffIds: readonly DiffId[]
}

/** Builds an OCI layout, the same bytes for the same calls. Everything is on disk after each call. */
export class LayoutBuilder {
  readonly folder: string
  readonly #entries: Descriptor[] = []

  constructor(folder: string) {
    this.folder = folder
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
    writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    this.#writeIndex()
  }

  blob(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = digestOf(bytes)
    writeFileSync(this.pathOf(digest), bytes)
    return { mediaType, digest, size: bytes.length }
  }

  image(options: ImageOptions): BuiltImage {
    const { platform = { os: 'linux', architecture: 'amd64' }, compress = 'gzip', run, annotations } = options
    const tars = options.layers.map((layer) => (layer instanceof Uint8Array ? layer : tarOf(layer)))
    const diffIds = tars.map((tar) => parseDiffId(digestOf(tar)))
    const layers = tars.map((tar) => this.blob(layerTypes[compress], compressed(tar, compress)))
    const config = this.blob(
      mediaTypes.config,
      writeConfig({ platform, diffIds, ...(run === undefined ? {} : { run }) }),
    )
    const written = writeManifest({ config, layers, ...(annotations === undefined ? {} : { annotations }) })
    return { manifest: { ...this.blob(mediaTypes.manifest, written), platform }, config, layers, diffIds }
  }

  index(...manifests: readonly Descriptor[]): Descriptor {
    return this.blob(mediaTypes.index, writeIndex({ manifests }))
  }

  /** Lists a manifest or index in the layout's index.json, under a name or none. */
  tag(descriptor: Descriptor, name?: string): void {
    const annotations = name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } }
    this.#entries.push({ ...descriptor, ...annotations })
    this.#writeIndex()
  }

  pathOf(digest: string): string {
    return join(this.folder, 'blobs', digest.replace(':', '/'))
  }

  #writeIndex(): void {
    writeFileSync(join(this.folder, 'index.json'), writeIndex({ manifests: this.#entries }))
  }
}

export interface TestImage extends BuiltImage, Disposable {
  readonly layout: LayoutBuilder
  /** The directory of the layout. */
  readonly folder: string
  /** What a user would write: `oci:DIR:latest`. */
  readonly name: string
}

/** One image in a layout of its own, tagged `latest`; removed when it goes out of scope. */
export function makeImage(options: ImageOptions): TestImage {
  const place = scratch('image')
  const layout = new LayoutBuilder(place.at('layout'))
  const image = layout.image(options)
  layout.tag(image.manifest, 'latest')
  const { folder } = layout
  return { ...image, layout, folder, name: `oci:${folder}:latest`, [Symbol.dispose]: () => place[Symbol.dispose]() }
}

const layerTypes: Readonly<Record<TestCompression, string>> = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
}

export function compressed(bytes: Uint8Array, compress: TestCompression): Uint8Array {
  if (compress === 'none') return bytes
  return compress === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes)
}

function bare(path: string, type: EntryType, attributes: Attributes): TestEntry {
  return { entry: entryOf(path, type, attributes), body: new Uint8Array() }
}

function entryOf(path: string, type: EntryType, attributes: Attributes): Entry {
  return {
    path,
    type,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNsec: 0,
    major: 0,
    minor: 0,
    link: '',
    xattrs: noXattrs,
    content: noContent,
    ...attributes,
  }
}
