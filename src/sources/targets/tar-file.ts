import { type Entry, newEntry } from '../../formats/entry.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../../formats/tar/tar-writer.ts'
import type { OutputFile } from './output-file.ts'

/** A tar of plain files of nobody's and no time: archives of images are the same whoever makes them. */
export class TarFile {
  readonly #file: OutputFile

  constructor(file: OutputFile) {
    this.#file = file
  }

  directory(path: string): void {
    this.#file.write(writeTarHeader(member(path, 'directory'), 0))
  }

  file(path: string, bytes: Uint8Array): void {
    this.#file.write(writeTarHeader(member(path, 'file'), bytes.length))
    this.#file.write(bytes)
    this.#file.write(tarPadding(bytes.length))
  }

  async stream(path: string, size: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#file.write(writeTarHeader(member(path, 'file'), size))
    const from = this.#file.size
    for await (const chunk of chunks) this.#file.write(chunk)
    if (this.#file.size !== from + size) throw new Error(`member ${path} has ${this.#file.size - from} bytes`)
    this.#file.write(tarPadding(size))
  }

  /** A member whose name is known once its bytes are: the header is filled in afterwards. */
  async streamThenName(chunks: AsyncIterable<Uint8Array>, nameOf: () => string): Promise<void> {
    const at = this.#file.size
    this.#file.write(new Uint8Array(headerBytes))
    for await (const chunk of chunks) this.#file.write(chunk)
    const size = this.#file.size - at - headerBytes
    this.#file.write(tarPadding(size))
    const header = writeTarHeader(member(nameOf(), 'file'), size)
    if (header.length !== headerBytes) throw new Error(`the header has ${header.length} bytes`)
    this.#file.writeAt(header, at)
  }

  end(): void {
    this.#file.write(tarTrailer())
  }
}

/** Bytes of a header without a pax header before it: of a short name and no more than `plainSizeMax` bytes. */
const headerBytes = 512
export const plainSizeMax = 0o77777777777

function member(path: string, type: 'file' | 'directory'): Entry {
  return newEntry({ path, type, mode: type === 'file' ? 0o644 : 0o755 })
}
