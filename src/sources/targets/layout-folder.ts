import { closeSync, existsSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseIndex } from '../../formats/oci/manifest.ts'
import { emptyLayout } from '../../formats/oci/rewrite-manifest.ts'
import { flock } from '../../linux/flock.ts'
import { withResult } from '../../streams.ts'
import { addToIndex, layoutMarker, layoutPath, naming } from './layout-files.ts'
import { OutputFile, makeFolders, outputError, putFile, syncFolder, temporaryName } from './output-file.ts'
import type { BlobName, NamedManifest, Target } from './target.ts'

/** A layout in a folder: a new one, or one that is there and is added to. Whatever else lies there is left alone: EXISTS. */
export class LayoutFolder implements Target {
  readonly name: string | undefined
  readonly #path: string
  /** Folder for blobs until they are finished: it becomes a new layout, or lies in the one that is there. */
  #work: string
  #isNew: boolean

  constructor(path: string, name: string | undefined) {
    this.name = name
    this.#path = path
    this.#isNew = checkFolder(path)
    this.#work = this.#isNew ? temporaryName(path) : workFolder(path)
    makeFolders(dirname(path))
    makeFolders(join(this.#work, 'blobs/sha256'))
  }

  async addLayer(chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    const unnamed = join(this.#work, 'layer')
    using file = OutputFile.open(unnamed)
    const { stream, result } = withResult(naming(chunks))
    for await (const chunk of stream) file.write(chunk)
    file.finish()
    rename(unnamed, this.#place(result().digest))
    return result()
  }

  async putBlob({ digest }: Descriptor, bytes: Uint8Array): Promise<void> {
    putFile(this.#place(digest), bytes)
  }

  async putManifest({ digest }: Descriptor, bytes: Uint8Array): Promise<void> {
    putFile(this.#place(digest), bytes)
  }

  async finish(manifests: readonly NamedManifest[]): Promise<void> {
    if (this.#isNew) this.#appear(manifests)
    else this.#join(manifests)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#work, { recursive: true, force: true })
  }

  #place(digest: Digest): string {
    const place = join(this.#work, layoutPath(digest))
    makeFolders(dirname(place))
    return place
  }

  #appear(manifests: readonly NamedManifest[]): void {
    putFile(join(this.#work, 'index.json'), addToIndex(emptyLayout, manifests))
    putFile(join(this.#work, 'oci-layout'), layoutMarker)
    rename(this.#work, this.#path)
    syncFolder(dirname(this.#path))
    this.#isNew = false
    this.#work = workFolder(this.#path)
  }

  #join(manifests: readonly NamedManifest[]): void {
    adoptBlobs(this.#work, this.#path)
    changeIndex(this.#path, (index) => addToIndex(index, manifests))
  }
}

/** Inside the layout, so that blobs can be renamed to where they belong. */
function workFolder(path: string): string {
  return join(path, temporaryName(''))
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

function adoptBlobs(work: string, path: string): void {
  if (!existsSync(join(work, 'blobs'))) return
  for (const algorithm of readdirSync(join(work, 'blobs'))) {
    const [from, to] = [join(work, 'blobs', algorithm), join(path, 'blobs', algorithm)]
    makeFolders(to)
    for (const name of readdirSync(from)) rename(join(from, name), join(to, name))
    syncFolder(to)
  }
}

/** Changes index.json under a lock: others may add to the same layout, each to what the one before left. */
function changeIndex(path: string, change: (index: Uint8Array) => Uint8Array): void {
  const lock = openSync(path, 'r')
  try {
    flock(lock, 'exclusive')
    const bytes = readFileSync(join(path, 'index.json'))
    parseIndex(bytes, JSON.stringify(join(path, 'index.json')))
    putFile(join(path, 'index.json'), change(bytes))
  } finally {
    closeSync(lock)
  }
}

function rename(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    throw outputError(to, error)
  }
}
