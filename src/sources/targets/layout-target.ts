import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { algorithmOf, hexOf, parseDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseIndex } from '../../formats/oci/manifest.ts'
import { addToLayout, emptyLayout } from '../../formats/oci/rewrite-manifest.ts'
import { flock } from '../../linux/flock.ts'
import { withResult } from '../../streams.ts'
import { keepTemporarily } from '../temporary.ts'
import { readRange } from '../local/file-set.ts'
import type { BlobName, ImageTarget } from '../../transfer/send/encoder.ts'
import { OutputFile, makeFolders, outputError, putFile, syncFolder, temporaryName } from './output-file.ts'
import { TarFile, plainSizeMax } from './tar-file.ts'

/**
 * OCI image layouts (image-spec "image-layout.md"), as a folder or in a tar. Both are given their index at the end, so
 * that nothing shows before it is whole:
 *
 *     oci-layout              {"imageLayoutVersion": "1.0.0"}
 *     index.json              what is in it, and under which name
 *     blobs/sha256/<hex>
 */
export interface LayoutTarget extends ImageTarget, Disposable {
  /** @param more other manifests that get names at the same time */
  finish(top: Descriptor, name: string | undefined, more?: readonly Named[]): void
}

export interface Named {
  readonly descriptor: Descriptor
  readonly name: string
}

const marker = Buffer.from('{"imageLayoutVersion":"1.0.0"}')

/** Makes a layout, or adds to one that is there. Whatever else lies at `path` is left alone: EXISTS. */
export function layoutFolder(path: string): LayoutTarget {
  const isNew = checkFolder(path)
  makeFolders(dirname(path))
  const work = isNew ? temporaryName(path) : join(path, temporaryName(''))
  makeFolders(join(work, 'blobs/sha256'))
  return {
    async addLayer(chunks) {
      using file = OutputFile.open(join(work, 'layer'))
      const name = await named(chunks, (chunk) => file.write(chunk))
      file.finish()
      rename(join(work, 'layer'), blobPath(work, name.digest))
      return name
    },
    async putBlob({ digest }, bytes) {
      put(work, digest, bytes)
    },
    async putManifest({ digest }, bytes) {
      put(work, digest, bytes)
    },
    finish(top, name, more = []) {
      if (isNew) {
        putFile(join(work, 'index.json'), addAll(emptyLayout, top, name, more))
        putFile(join(work, 'oci-layout'), marker)
        rename(work, path)
        syncFolder(dirname(path))
      } else {
        adoptBlobs(work, path)
        addToIndex(path, (index) => addAll(index, top, name, more))
      }
    },
    [Symbol.dispose]() {
      rmSync(work, { recursive: true, force: true })
    },
  }
}

/** @returns whether there is nothing yet */
function checkFolder(path: string): boolean {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status === undefined) return true
  if (!status.isDirectory()) throw taken(path, 'it is a file, expected a folder')
  const names = readdirSync(path)
  if (names.length === 0) return true
  if (existsSync(join(path, 'oci-layout')) && existsSync(join(path, 'index.json'))) return false
  throw taken(path, 'there are other files in it, and it is no OCI layout')
}

function taken(path: string, found: string): OnefoldError {
  return new OnefoldError('EXISTS', `Cannot write an OCI layout to ${JSON.stringify(path)}: ${found}`)
}

function put(folder: string, digest: string, bytes: Uint8Array): void {
  const path = blobPath(folder, digest)
  makeFolders(dirname(path))
  putFile(path, bytes)
}

/** Safe as a path: whoever calls has a digest, which is an algorithm and hex digits. */
function blobPath(folder: string, digest: string): string {
  return join(folder, 'blobs', digest.replace(':', '/'))
}

function adoptBlobs(work: string, path: string): void {
  for (const algorithm of readdirSync(join(work, 'blobs'))) {
    const [from, to] = [join(work, 'blobs', algorithm), join(path, 'blobs', algorithm)]
    makeFolders(to)
    for (const name of readdirSync(from)) rename(join(from, name), join(to, name))
    syncFolder(to)
  }
}

/** Others may add to the same layout: one at a time, each to what the one before left. */
function addToIndex(path: string, add: (index: Uint8Array) => Uint8Array): void {
  const lock = openSync(path, 'r')
  try {
    flock(lock, 'exclusive')
    const bytes = readFileSync(join(path, 'index.json'))
    parseIndex(bytes, JSON.stringify(join(path, 'index.json')))
    putFile(join(path, 'index.json'), add(bytes))
  } finally {
    closeSync(lock)
  }
}

function addAll(index: Uint8Array, top: Descriptor, name: string | undefined, more: readonly Named[]): Uint8Array {
  return more.reduce((before, each) => addToLayout(before, each.descriptor, each.name), addToLayout(index, top, name))
}

function rename(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    throw outputError(to, error)
  }
}

/** Makes the archive anew, as skopeo does; what was there is replaced once the new one is whole. */
export function layoutArchive(path: string): LayoutTarget {
  const file = OutputFile.open(path)
  if (!file.canSeek) {
    file[Symbol.dispose]()
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot write an OCI archive to ${JSON.stringify(path)}: it is no regular file`,
      {
        hint: 'docker-archive: and tar: can be written to a pipe.',
      },
    )
  }
  const tar = new TarFile(file)
  const folders = new Set<string>()
  const blobs = new Set<string>()
  tar.directory('blobs')
  return {
    async addLayer(chunks, sizeMax) {
      folder('sha256')
      if (sizeMax > plainSizeMax) return addLarge(chunks)
      const { stream, result } = withResult(naming(chunks))
      await tar.streamThenName(stream, () => memberOf(result()))
      blobs.add(result().digest)
      return result()
    },
    async putBlob({ digest }, bytes) {
      add(digest, bytes)
    },
    async putManifest({ digest }, bytes) {
      add(digest, bytes)
    },
    finish(top, name, more = []) {
      tar.file('index.json', addAll(emptyLayout, top, name, more))
      tar.file('oci-layout', marker)
      tar.end()
      file.finish()
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  }

  /** Its size decides how long its header is. */
  async function addLarge(chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    const { stream, result } = withResult(naming(chunks))
    const kept = await keepTemporarily(stream, dirname(path))
    try {
      await tar.stream(memberOf(result()), kept.range.length, readRange(kept.range, { lent: true }))
    } finally {
      await kept.close()
    }
    return result()
  }

  function add(digest: string, bytes: Uint8Array): void {
    if (blobs.has(digest)) return
    blobs.add(digest)
    folder(digest.slice(0, digest.indexOf(':')))
    tar.file(`blobs/${digest.replace(':', '/')}`, bytes)
  }

  function folder(algorithm: string): void {
    if (!folders.has(algorithm)) tar.directory(`blobs/${algorithm}`)
    folders.add(algorithm)
  }
}

function memberOf({ digest }: BlobName): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`
}

/** Passes chunks on and tells what they were. */
export async function* naming(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, BlobName> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    size += chunk.length
    yield chunk
  }
  return { digest: parseDigest(`sha256:${hash.digest('hex')}`), size }
}

async function named(chunks: AsyncIterable<Uint8Array>, write: (chunk: Uint8Array) => void): Promise<BlobName> {
  const { stream, result } = withResult(naming(chunks))
  for await (const chunk of stream) write(chunk)
  return result()
}
