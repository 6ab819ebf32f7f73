import { type FileHandle, mkdtemp, open, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { OnefoldError, errnoOf } from '../error.ts'
import type { FileRange } from './source.ts'

/** File that has no name: it goes with its handle, however the process ends. */
export interface TemporaryFile {
  /** Range of the file, opened by its descriptor; good for every thread of this process until `close`. */
  readonly range: FileRange
  readonly close: () => Promise<void>
}

/** Keeps a stream in a temporary file. `directory` defaults to $TMPDIR, else /var/tmp: /tmp is often memory. */
export async function keepTemporarily(
  chunks: AsyncIterable<Uint8Array>,
  directory: string | undefined,
): Promise<TemporaryFile> {
  const place = directory ?? (process.env['TMPDIR'] || '/var/tmp')
  const file = await namelessFile(place)
  try {
    const length = await writeAll(file, chunks, place)
    return { range: { path: `/proc/self/fd/${file.fd}`, offset: 0, length }, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function namelessFile(place: string): Promise<FileHandle> {
  try {
    const folder = await mkdtemp(join(place, 'onefold-'))
    const path = join(folder, 'unpacked')
    const file = await open(path, 'wx+', 0o600)
    await unlink(path)
    await rmdir(folder)
    return file
  } catch (cause) {
    throw new OnefoldError('IO', `Cannot make a temporary file in "${place}": ${errnoOf(cause) ?? String(cause)}`, {
      cause,
      hint: 'Set TMPDIR to a directory with room.',
    })
  }
}

async function writeAll(file: FileHandle, chunks: AsyncIterable<Uint8Array>, place: string): Promise<number> {
  let length = 0
  for await (const chunk of chunks) {
    for (let done = 0; done < chunk.length;) done += await write(file, chunk, done, length + done, place)
    length += chunk.length
  }
  return length
}

async function write(file: FileHandle, chunk: Uint8Array, from: number, at: number, place: string): Promise<number> {
  try {
    return (await file.write(chunk, from, chunk.length - from, at)).bytesWritten
  } catch (cause) {
    throw new OnefoldError('IO', `Cannot write a temporary file in "${place}": ${errnoOf(cause) ?? String(cause)}`, {
      cause,
      hint: 'Set TMPDIR to a directory with room.',
    })
  }
}
