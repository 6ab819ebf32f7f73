import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip } from 'node:zlib'
import { type DiffId, parseDiffId, parseDigest } from '../digest.ts'
import { type Descriptor, type Entry, type EntryType, noContent, noXattrs } from '../formats/entry.ts'
import { mediaTypes } from '../formats/oci/media-types.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../formats/tar/write.ts'
import type { DemoFile } from './programs.ts'

export interface DemoLayer {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly files: readonly DemoFile[]
}

/** Writes the files, and the directories they stand in, as a gzip layer into the blob folder of a layout. */
export async function writeLayer(blobs: string, files: readonly DemoFile[], mtime: number): Promise<DemoLayer> {
  const diffId = createHash('sha256')
  const digest = createHash('sha256')
  let size = 0
  const unnamed = join(blobs, 'new')
  await pipeline(
    Readable.from(tarOf(files, mtime), { objectMode: false, highWaterMark: 1 << 20 }),
    seen((chunk) => void diffId.update(chunk)),
    createGzip({ level: constants.Z_BEST_SPEED, chunkSize: 1 << 18 }),
    seen((chunk) => {
      digest.update(chunk)
      size += chunk.length
    }),
    createWriteStream(unnamed),
  )
  const hex = digest.digest('hex')
  await rename(unnamed, join(blobs, hex))
  return {
    blob: { mediaType: mediaTypes.layerGzip, digest: parseDigest(`sha256:${hex}`), size },
    diffId: parseDiffId(`sha256:${diffId.digest('hex')}`),
    files,
  }
}

function* tarOf(files: readonly DemoFile[], mtime: number): Generator<Uint8Array> {
  const folders = new Set(files.flatMap(({ path }) => parentsOf(path)))
  for (const path of [...folders].toSorted()) yield writeTarHeader(entryOf(path, 'directory', 0o755, mtime), 0)
  for (const { path, mode, bytes } of files) {
    yield writeTarHeader(entryOf(path, 'file', mode, mtime), bytes.length)
    yield bytes
    yield tarPadding(bytes.length)
  }
  yield tarTrailer()
}

function parentsOf(path: string): string[] {
  const parent = dirname(path)
  return parent === '.' ? [] : [...parentsOf(parent), parent]
}

function entryOf(path: string, type: EntryType, mode: number, mtime: number): Entry {
  const name = Buffer.from(path).toString('latin1')
  const nothing = { uid: 0, gid: 0, mtimeNsec: 0, major: 0, minor: 0, link: '', xattrs: noXattrs, content: noContent }
  return { ...nothing, path: name, type, mode, mtime }
}

function seen(see: (chunk: Uint8Array) => void) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      see(chunk)
      yield chunk
    }
  }
}
