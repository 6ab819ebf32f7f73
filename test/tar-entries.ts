import type { Content, Entry } from '../src/formats/entry.ts'
import { inlineMax, noContent } from '../src/formats/entry.ts'
import { verityDigest } from '../src/formats/fsverity/digest.ts'
import { type TarBody, type TarHandler, TarParser } from '../src/formats/tar/parse.ts'

/** The entries of a whole tar with their content filled in; `seen` is told every file's bytes. */
export function entriesOfTar(tar: Uint8Array, seen: (content: Content, bytes: Uint8Array) => void = () => {}): Entry[] {
  const entries: Entry[] = []
  const collector = new Collector((entry, bytes) => {
    const content = contentOf(bytes)
    seen(content, bytes)
    entries.push(entry.type === 'file' ? { ...entry, content } : entry)
  })
  const parser = new TarParser(collector)
  parser.write(tar)
  parser.end()
  return entries
}

class Collector implements TarHandler {
  readonly #done: (entry: Entry, bytes: Uint8Array) => void
  #entry: Entry | undefined
  #body: TarBody = { stored: 0, size: 0, ranges: undefined }
  #stored: Uint8Array[] = []

  constructor(done: (entry: Entry, bytes: Uint8Array) => void) {
    this.#done = done
  }

  framing(): void {}

  entry(entry: Entry, body: TarBody): void {
    this.#entry = entry
    this.#body = body
    this.#stored = []
  }

  data(bytes: Uint8Array): void {
    this.#stored.push(Uint8Array.from(bytes))
  }

  endEntry(): void {
    if (this.#entry !== undefined) this.#done(this.#entry, expand(Buffer.concat(this.#stored), this.#body))
  }
}

/** A sparse file's stored bytes at their places, zeros between. */
function expand(stored: Uint8Array, { size, ranges }: TarBody): Uint8Array {
  if (ranges === undefined) return stored
  const bytes = new Uint8Array(size)
  let at = 0
  for (const [offset, length] of ranges) {
    bytes.set(stored.subarray(at, at + length), offset)
    at += length
  }
  return bytes
}

function contentOf(bytes: Uint8Array): Content {
  if (bytes.length === 0) return noContent
  return bytes.length <= inlineMax
    ? { kind: 'inline', bytes }
    : { kind: 'object', digest: verityDigest(bytes), size: bytes.length }
}
