import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { parseDiffId, parseVerityDigest } from '../src/digest.ts'
import { type Content, type Entry, inlineMax, noContent } from '../src/formats/entry.ts'
import { type TarBody, type TarHandler, type TarOptions, TarParser } from '../src/formats/tar/parse.ts'
import { RecipeWriter, readRecipe } from '../src/formats/tar/recipe.ts'

/** A tar taken apart and everything that came out of it. */
export interface TarParts {
  /** As the parser gave them: contents unknown. */
  readonly entries: Entry[]
  readonly bodies: TarBody[]
  /** The whole content of each entry, holes included. */
  readonly contents: Buffer[]
  readonly recipe: Uint8Array
  /** Contents over 64 bytes by their names in the recipe. */
  readonly objects: ReadonlyMap<string, Buffer>
  /** The content of an entry as its recipe says it. */
  readonly contentOf: (index: number) => Content
}

/** Pushes a tar through the parser in pieces and makes its recipe. */
export function takeApart(tar: Uint8Array, step = tar.length, options: TarOptions = {}): TarParts {
  const parts = new Collector()
  const parser = new TarParser(parts, options)
  for (let at = 0; at < tar.length; at += step) parser.write(tar.subarray(at, at + step))
  parser.end()
  assert.ok(Buffer.concat(parts.passed).equals(tar), 'framing and data together are the input')
  const diffId = parseDiffId(`sha256:${createHash('sha256').update(tar).digest('hex')}`)
  const { entries, bodies, contents, objects, contentOf } = parts
  return { entries, bodies, contents, objects, contentOf, recipe: parts.writer.finish({ diffId, tarSize: tar.length }) }
}

/** The recipe gives the entries and the bytes of the tar it was made from. */
export function checkRecipe(tar: Uint8Array, parts: TarParts, options: TarOptions = {}): void {
  const recipe = readRecipe(parts.recipe)
  const entries = parts.entries.map((entry, i) => ({ ...entry, content: parts.contentOf(i) }))
  assert.deepEqual([...recipe.entries(options)], entries)
  assert.ok(rebuild(parts).equals(tar), 'the rebuilt tar is the tar')
}

export function rebuild({ recipe, objects }: Pick<TarParts, 'recipe' | 'objects'>): Buffer {
  const pieces = [...readRecipe(recipe).rebuild()].map((piece) =>
    piece instanceof Uint8Array
      ? piece
      : objects.get(piece.object)!.subarray(piece.offset, piece.offset + piece.length),
  )
  return Buffer.concat(pieces)
}

class Collector implements TarHandler {
  readonly entries: Entry[] = []
  readonly bodies: TarBody[] = []
  readonly contents: Buffer[] = []
  readonly objects = new Map<string, Buffer>()
  readonly passed: Buffer[] = []
  readonly writer = new RecipeWriter()
  #stored: Buffer[] = []

  readonly contentOf = (index: number): Content => {
    const bytes = this.contents[index]!
    if (bytes.length === 0) return noContent
    if (bytes.length <= inlineMax) return { kind: 'inline', bytes: new Uint8Array(bytes) }
    const digest = parseVerityDigest(createHash('sha256').update(bytes).digest('hex'))
    return { kind: 'object', digest, size: bytes.length }
  }

  framing(bytes: Uint8Array): void {
    this.passed.push(Buffer.from(bytes))
    this.writer.framing(bytes)
  }

  entry(entry: Entry, body: TarBody): void {
    this.entries.push(entry)
    this.bodies.push(body)
    this.#stored = []
  }

  data(bytes: Uint8Array): void {
    const copy = Buffer.from(bytes)
    this.passed.push(copy)
    this.#stored.push(copy)
  }

  endEntry(): void {
    const body = this.bodies.at(-1)!
    const stored = Buffer.concat(this.#stored)
    assert.equal(stored.length, body.stored)
    const bytes = expand(stored, body)
    this.contents.push(bytes)
    const content = this.contentOf(this.contents.length - 1)
    if (content.kind === 'object') this.objects.set(content.digest, bytes)
    if (body.size > 0) this.writer.file(content, body.ranges)
  }
}

/** A sparse file's stored bytes at their places, zeros between. */
function expand(stored: Buffer, { size, ranges }: TarBody): Buffer {
  if (ranges === undefined) return stored
  const bytes = Buffer.alloc(size)
  let at = 0
  for (const [offset, length] of ranges) {
    stored.copy(bytes, offset, at, at + length)
    at += length
  }
  return bytes
}
