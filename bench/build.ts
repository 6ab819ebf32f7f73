import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Apt, type Package, type Suite } from './apt.ts'
import { output, started } from './command.ts'
import { type ImageSpec, type LayerSpec, benchFolder } from './images.ts'

/** A finished image in the OCI layout at `layout`, under its name as tag. */
export interface BuiltImage {
  readonly name: string
  readonly layers: readonly BuiltLayer[]
}

export interface BuiltLayer {
  readonly digest: string
  readonly diffId: string
  /** Bytes of the gzip blob, and of the tar in it. */
  readonly size: number
  readonly tarSize: number
  /** All regular files, hard links once: sha256 and size of each. */
  readonly files: readonly (readonly [sha256: string, size: number])[]
  readonly entries: number
}

/** The OCI layout that holds every image built so far. */
export const layout = join(benchFolder, 'layout')

const apts = new Map<Suite, Promise<Apt>>()
const layersMade = new Map<string, Promise<BuiltLayer>>()

/** The images, from the folder of an earlier run where they are there; `say` hears what takes long. */
export async function buildImages(specs: readonly ImageSpec[], say: (line: string) => void): Promise<BuiltImage[]> {
  await mkdir(blobs(), { recursive: true })
  await mkdir(join(benchFolder, 'layers'), { recursive: true })
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const images: BuiltImage[] = []
  for (const spec of specs) {
    const image = { name: spec.name, layers: await buildLayers(spec, say) }
    await addManifest(image)
    images.push(image)
  }
  return images
}

/** The blobs of an image's layers, lowest first. */
export function layerFiles(image: BuiltImage): string[] {
  return image.layers.map(({ digest }) => blobFile(digest))
}

async function buildLayers(spec: ImageSpec, say: (line: string) => void): Promise<BuiltLayer[]> {
  const below = new Set<string>()
  const parts: { packages: Package[]; spec: LayerSpec }[] = []
  for (const layer of spec.layers) {
    const packages = (await (await aptOf(layer.suite)).closure(layer.install)).filter(({ name }) => !below.has(name))
    for (const { name } of packages) below.add(name)
    for (const part of cut(packages, layer.parts ?? 1)) parts.push({ packages: part, spec: layer })
  }
  return Promise.all(parts.map((part) => buildLayer(part.packages, part.spec, say)))
}

function cut<T>(items: readonly T[], parts: number): T[][] {
  const at = (part: number) => Math.floor((part * items.length) / parts)
  return Array.from({ length: parts }, (_, part) => items.slice(at(part), at(part + 1)))
}

/** Each layer is made once, however many images have it. */
function buildLayer(packages: readonly Package[], spec: LayerSpec, say: (line: string) => void): Promise<BuiltLayer> {
  const key = createHash('sha256')
    .update(JSON.stringify([spec.suite, spec.built ?? null, packages]))
    .digest('hex')
  let made = layersMade.get(key)
  if (made === undefined) {
    made = oneAtATime(async () => {
      const notes = join(benchFolder, 'layers', `${key}.json`)
      if (existsSync(notes)) return JSON.parse(await readFile(notes, 'utf8')) as BuiltLayer
      say(`making a layer of ${packages.map(({ name }) => name).join(' ')}`.slice(0, 100))
      const layer = await makeLayer(packages, spec, join(benchFolder, `tree-${process.pid}`))
      await writeFile(`${notes}.new`, JSON.stringify(layer))
      await rename(`${notes}.new`, notes)
      return layer
    })
    layersMade.set(key, made)
  }
  return made
}

let last: Promise<unknown> = Promise.resolve()
function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  const mine = last.then(work)
  last = mine.catch(() => {})
  return mine
}

async function makeLayer(packages: readonly Package[], spec: LayerSpec, tree: string): Promise<BuiltLayer> {
  await rm(tree, { recursive: true, force: true })
  await mkdir(tree)
  for (const deb of await (await aptOf(spec.suite)).download(packages)) await output('dpkg-deb', ['-x', deb, tree])
  const { files, entries } = await inventory(tree)
  const blob = await packLayer(tree, spec.built)
  await rm(tree, { recursive: true, force: true })
  return { ...blob, files, entries }
}

/** `tar | gzip -6`, as image builders do it, with nothing in it that changes from run to run. */
async function packLayer(tree: string, built: number | undefined) {
  const time = built === undefined ? [] : [`--mtime=@${built}`]
  const top = (await readdir(tree)).toSorted()
  const tar = started('tar', ['--sort=name', '--numeric-owner', '--format=gnu', ...time, '-cC', tree, ...top], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gzip = started('gzip', ['-6n'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const diffId = createHash('sha256')
  const digest = createHash('sha256')
  let size = 0
  let tarSize = 0
  const file = join(benchFolder, `blob-${process.pid}`)
  await Promise.all([
    pipeline(
      streamOf(tar.child.stdout),
      tapped(diffId.update.bind(diffId), (n) => (tarSize += n)),
      streamOf(gzip.child.stdin),
    ),
    pipeline(
      streamOf(gzip.child.stdout),
      tapped(digest.update.bind(digest), (n) => (size += n)),
      createWriteStream(file),
    ),
    tar.ended,
    gzip.ended,
  ])
  const name = `sha256:${digest.digest('hex')}`
  await rename(file, blobFile(name))
  return { digest: name, diffId: `sha256:${diffId.digest('hex')}`, size, tarSize }
}

function streamOf<T>(stream: T | null): T {
  if (stream === null) throw new Error('a stream was asked for as a pipe and is not there')
  return stream
}

function tapped(see: (chunk: Buffer) => void, count: (bytes: number) => void) {
  return async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      see(chunk)
      count(chunk.length)
      yield chunk
    }
  }
}

/** What is in a tree; symlinks to directories stay symlinks. */
async function inventory(tree: string) {
  const files: [sha256: string, size: number][] = []
  const seen = new Set<number>()
  let entries = 0
  const folders = [tree]
  for (const folder of folders)
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      entries++
      const path = join(folder, entry.name)
      if (entry.isDirectory()) folders.push(path)
      if (!entry.isFile()) continue
      const { ino, nlink, size } = await stat(path)
      if (nlink > 1 && seen.has(ino)) continue
      seen.add(ino)
      const hash = createHash('sha256')
      await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
      files.push([hash.digest('hex'), size])
    }
  return { files, entries }
}

async function addManifest(image: BuiltImage): Promise<void> {
  const architecture = (await output('dpkg', ['--print-architecture'])).trim()
  const config = await addBlob({
    architecture,
    os: 'linux',
    created: '2023-11-14T22:13:20Z',
    config: { Env: ['PATH=/usr/local/bin:/usr/bin:/bin'], Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: image.layers.map(({ diffId }) => diffId) },
  })
  const manifest = await addBlob({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: image.layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size,
    })),
  })
  await addToIndex({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...manifest,
    annotations: { 'org.opencontainers.image.ref.name': image.name },
  })
}

interface IndexEntry {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations: { readonly 'org.opencontainers.image.ref.name': string }
}

async function addToIndex(entry: IndexEntry): Promise<void> {
  const file = join(layout, 'index.json')
  const nameOf = (each: IndexEntry) => each.annotations['org.opencontainers.image.ref.name']
  const before = existsSync(file)
    ? (JSON.parse(await readFile(file, 'utf8')) as { manifests: IndexEntry[] }).manifests
    : []
  const manifests = [...before.filter((each) => nameOf(each) !== nameOf(entry)), entry]
  await writeFile(file, JSON.stringify({ schemaVersion: 2, manifests }))
}

async function addBlob(value: unknown): Promise<{ digest: string; size: number }> {
  const bytes = Buffer.from(JSON.stringify(value))
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  await writeFile(blobFile(digest), bytes)
  return { digest, size: bytes.length }
}

function aptOf(suite: Suite): Promise<Apt> {
  const apt = apts.get(suite) ?? Apt.open(join(benchFolder, 'apt', suite), suite)
  apts.set(suite, apt)
  return apt
}

function blobs(): string {
  return join(layout, 'blobs/sha256')
}

function blobFile(digest: string): string {
  return join(blobs(), digest.slice('sha256:'.length))
}
