import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { hexOf } from '../src/digest.ts'
import { Apt, type Package, type Suite } from './apt.ts'
import { output, started } from './command.ts'
import { type ImageSpec, type LayerSpec, benchFolder } from './images.ts'
import { type LayerBlob, LayerWriter, Layout } from './layout.ts'

/** A finished image in the layout, under its name as tag. */
export interface BuiltImage {
  readonly name: string
  readonly layers: readonly BuiltLayer[]
}

export interface BuiltLayer extends LayerBlob {
  /** All regular files, hard links once: sha256 and size of each. */
  readonly files: readonly (readonly [sha256: string, size: number])[]
}

/** Where every image built so far lies. */
export const layout = join(benchFolder, 'layout')

const notesFolder = join(benchFolder, 'layers')
const apts = new Map<Suite, Promise<Apt>>()
const layersMade = new Map<string, Promise<BuiltLayer>>()

/** The images, from the folder of an earlier run where they are there; `say` hears what takes long. */
export async function buildImages(specs: readonly ImageSpec[], say: (line: string) => void): Promise<BuiltImage[]> {
  await mkdir(notesFolder, { recursive: true })
  const built = new Layout(layout)
  const images: BuiltImage[] = []
  for (const spec of specs) {
    const image = { name: spec.name, layers: await buildLayers(spec, say) }
    built.addImage(image.name, image.layers)
    images.push(image)
  }
  return images
}

/** The blobs of an image's layers, lowest first. */
export function layerFiles(image: BuiltImage): string[] {
  return image.layers.map(({ blob }) => join(layout, 'blobs/sha256', hexOf(blob.digest)))
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
      const notes = join(notesFolder, `${key}.json`)
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
  const layer = { ...(await packLayer(tree, spec.built)), files: await inventory(tree) }
  await rm(tree, { recursive: true, force: true })
  return layer
}

/** `tar | gzip -6`, as image builders do it, with nothing in it that changes from run to run. */
async function packLayer(tree: string, built: number | undefined): Promise<LayerBlob> {
  const time = built === undefined ? [] : [`--mtime=@${built}`]
  const top = (await readdir(tree)).toSorted()
  const tar = started('tar', ['--sort=name', '--numeric-owner', '--format=gnu', ...time, '-cC', tree, ...top], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gzip = started('gzip', ['-6n'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const writer = new LayerWriter(new Layout(layout))
  await Promise.all([
    pipeline(
      streamOf(tar.child.stdout),
      seen((chunk) => writer.tar(chunk)),
      streamOf(gzip.child.stdin),
    ),
    pipeline(streamOf(gzip.child.stdout), async (chunks) => {
      for await (const chunk of chunks) writer.gzip(chunk)
    }),
    tar.ended,
    gzip.ended,
  ])
  return writer.finish()
}

function streamOf<T>(stream: T | null): T {
  if (stream === null) throw new Error('a stream was asked for as a pipe and is not there')
  return stream
}

function seen(see: (chunk: Buffer) => void) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      see(chunk)
      yield chunk
    }
  }
}

/** What is in a tree; symlinks to directories stay symlinks. */
async function inventory(tree: string): Promise<[sha256: string, size: number][]> {
  const files: [sha256: string, size: number][] = []
  const seen = new Set<number>()
  const folders = [tree]
  for (const folder of folders)
    for (const entry of await readdir(folder, { withFileTypes: true })) {
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
  return files
}

function aptOf(suite: Suite): Promise<Apt> {
  const apt = apts.get(suite) ?? Apt.open(join(benchFolder, 'apt', suite), suite)
  apts.set(suite, apt)
  return apt
}
