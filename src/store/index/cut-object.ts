import { type Hash, createHash, hash } from 'node:crypto'
import { closeSync, readSync } from 'node:fs'
import type { VerityDigest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { RollsumChunker } from '../../formats/chunking/rollsum.ts'
import type { Chunking } from '../../formats/content-index.ts'
import { openObject } from '../objects/object-files.ts'

const bufferBytes = 1024 * 1024
const buffer = Buffer.allocUnsafe(bufferBytes)

/** A part of an object, by the sha256 of its bytes. */
export interface Cut {
  readonly sha256: string
  readonly offset: number
  readonly length: number
}

/** The plain sha256 of an object; undefined when there is none. */
export function hashObject(root: string, object: VerityDigest): { sha256: string; size: number } | undefined {
  let size = 0
  let first: Uint8Array | undefined
  let more: Hash | undefined
  for (const bytes of piecesOf(root, object) ?? []) {
    size += bytes.length
    if (bytes.length < bufferBytes && more === undefined) first = bytes
    else (more ??= createHash('sha256')).update(bytes)
  }
  if (size === 0) return undefined
  return { sha256: more?.digest('hex') ?? hash('sha256', first ?? Buffer.alloc(0), 'hex'), size }
}

/** The chunks of an object as `chunking` cuts it, holes left out; undefined when there is no such object. */
export function cutObject(root: string, object: VerityDigest, chunking: Chunking): Cut[] | undefined {
  const pieces = piecesOf(root, object)
  if (pieces === undefined) return undefined
  const cuts: Cut[] = []
  const sink = new CutSink(cuts)
  if (chunking.kind === 'rollsum') {
    const chunker = new RollsumChunker(sink)
    for (const bytes of pieces) chunker.write(bytes)
    chunker.end()
  } else if (chunking.kind === 'fixed') {
    for (const bytes of pieces) cutFixed(bytes, chunking.size, sink)
    sink.cut()
  }
  return cuts
}

function cutFixed(bytes: Uint8Array, size: number, sink: CutSink): void {
  for (let rest = bytes; rest.length > 0;) {
    const part = rest.subarray(0, size - sink.length)
    sink.data(part)
    if (sink.length === size) sink.cut()
    rest = rest.subarray(part.length)
  }
}

class CutSink {
  readonly #cuts: Cut[]
  #hash: Hash | undefined
  #offset = 0
  /** Bytes of the current chunk. */
  length = 0

  constructor(cuts: Cut[]) {
    this.#cuts = cuts
  }

  data(bytes: Uint8Array): void {
    ;(this.#hash ??= createHash('sha256')).update(bytes)
    this.length += bytes.length
  }

  hole(length: number): void {
    this.#offset += length
  }

  cut(): void {
    if (this.#hash === undefined) return
    this.#cuts.push({ sha256: this.#hash.digest('hex'), offset: this.#offset, length: this.length })
    this.#offset += this.length
    this.length = 0
    this.#hash = undefined
  }
}

/** The bytes of an object, each piece good until the next is asked for. */
function piecesOf(root: string, object: VerityDigest): Generator<Uint8Array> | undefined {
  try {
    const { fd } = openObject(root, object)
    return read(fd)
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') || hasCode(error, 'CORRUPT')) return undefined
    throw error
  }
}

function* read(fd: number): Generator<Uint8Array> {
  try {
    for (;;) {
      const length = readSync(fd, buffer)
      if (length === 0) return
      yield buffer.subarray(0, length)
    }
  } finally {
    closeSync(fd)
  }
}
