import { closeSync, read, readSync } from 'node:fs'
import { promisify } from 'node:util'
import type { VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import { fileError, openRegular } from '../store-files.ts'
import { objectPath } from '../store-layout.ts'

const chunkBytes = 1024 * 1024
const readAsync = promisify(read)

/** An object open for reading; its bytes are as they were when it was stored, unless fsck says otherwise. */
export interface OpenObject extends Disposable {
  readonly fd: number
  readonly size: number
}

/** Opens an object; NOT_FOUND when the store has none of that name. */
export function openObject(root: string, digest: VerityDigest): OpenObject {
  const file = openRegular(objectPath(root, digest), `object ${digest}`)
  if (file === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot read object ${digest}: the store has none`, {
      hint: 'onefold fsck tells which images are damaged.',
    })
  return { ...file, [Symbol.dispose]: () => closeSync(file.fd) }
}

export interface ByteRange {
  /** First byte; default 0. */
  readonly offset?: number | undefined
  /** Bytes; default up to the end. */
  readonly length?: number | undefined
}

/** Reads an object, in chunks of up to 1 MiB that belong to the reader. */
export async function* readObject(
  root: string,
  digest: VerityDigest,
  range: ByteRange = {},
): AsyncGenerator<Uint8Array> {
  using file = openObject(root, digest)
  const { offset = 0, length = Math.max(0, file.size - offset) } = range
  for (let done = 0; done < length;) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, length - done))
    const { bytesRead } = await readAsync(file.fd, chunk, 0, chunk.length, offset + done)
    if (bytesRead === 0) throw tooShort(digest, file.size)
    yield chunk.subarray(0, bytesRead)
    done += bytesRead
  }
}

function tooShort(digest: VerityDigest, size: number): OnefoldError {
  return new OnefoldError('CORRUPT', `Cannot read object ${digest}: it ends after ${size} bytes, expected more`)
}

/** Hashes files one after the other with one buffer. */
export class FileHasher {
  readonly #hasher = new VerityHasher()
  readonly #buffer = Buffer.allocUnsafe(chunkBytes)

  /** The digest of a regular file, or undefined when there is none. */
  hash(path: string): VerityDigest | undefined {
    const file = openRegular(path, 'a file to be hashed')
    if (file === undefined) return undefined
    try {
      for (;;) {
        const length = readSync(file.fd, this.#buffer)
        if (length === 0) return this.#hasher.digest()
        this.#hasher.update(this.#buffer.subarray(0, length))
      }
    } catch (error) {
      this.#hasher.digest()
      throw fileError('read', path, error)
    } finally {
      closeSync(file.fd)
    }
  }
}
