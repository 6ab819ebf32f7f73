import assert from 'node:assert/strict'
import fc from 'fast-check'
import { imageNodes } from '../../src/formats/composefs/image-nodes.ts'
import { OnefoldError } from '../../src/error.ts'
import { parseDump } from '../../src/formats/dump/read-dump.ts'
import { writeDump } from '../../src/formats/dump/write-dump.ts'
import { ErofsReader } from '../../src/formats/erofs/erofs-reader.ts'
import { readErofs } from '../../src/formats/composefs/read-image.ts'
import { writeErofs } from '../../src/formats/composefs/write-image.ts'
import { type Directory, isDirectory, isHardLink } from '../../src/formats/tree.ts'
import { randomTree } from '../fixtures/random-tree.ts'

/**
 * A million mutants in minutes: a few trees are made for each batch, and every round changes some bytes of one of them,
 * as its image or as its dump. What is still accepted is written and read again.
 */
const parentsPerBatch = 4

export function fuzzMutatedDumps(seed: number, rounds: number): void {
  const random = generator(seed)
  const parents = trees(seed).map((tree) => Buffer.concat([...writeDump(tree)]))
  for (let round = 0; round < rounds; round++) {
    const mutant = mutate(parents[round % parents.length] as Buffer, random, dumpWords)
    const compat = random(2) === 0
    const tree = attempt(() => parseDump(mutant, { compat }))
    if (tree === undefined || round % 8 !== 0) continue
    const written = attempt(() => writeErofs(tree))
    if (written !== undefined) assert.deepEqual(writeErofs(parseDump(joined(tree), { compat: true })), written)
  }
}

export function fuzzMutatedImages(seed: number, rounds: number): void {
  const random = generator(seed)
  const parents = trees(seed).map((tree) => Buffer.from(writeErofs(tree).bytes))
  for (let round = 0; round < rounds; round++) {
    const mutant = mutate(parents[round % parents.length] as Buffer, random, imageWords)
    const most = mutant.length / 12
    const tree = attempt(() => readErofs(mutant))
    if (tree !== undefined) assert.ok(countNames(tree) <= most, 'more names than the image can hold')
    let names = 0
    attempt(() => {
      for (const _ of imageNodes(new ErofsReader(mutant))) names++
    })
    assert.ok(names <= most, 'more lines than the image can hold')
    if (tree === undefined || round % 8 !== 0) continue
    const again = attempt(() => writeErofs(tree))
    if (again !== undefined) readErofs(again.bytes)
  }
}

function trees(seed: number): Directory[] {
  return fc.sample(randomTree({ ambiguous: true }), { seed, numRuns: parentsPerBatch })
}

function joined(tree: Directory): Buffer {
  return Buffer.concat([...writeDump(tree)])
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
    assert.ok(['BAD_FORMAT', 'UNSUPPORTED', 'LIMIT'].includes(error.code), error.code)
    return undefined
  }
}

function countNames(root: Directory): number {
  let names = 0
  const pending = [root]
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    for (const child of next.children.values()) {
      names++
      if (!isHardLink(child) && isDirectory(child)) pending.push(child)
    }
  return names
}

type Random = (below: number) => number

/** xorshift32: fast-check's own would take most of the time. */
function generator(seed: number): Random {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const dumpWords = [
  ' ',
  '-',
  '@',
  '=',
  '/',
  '.',
  '\\',
  '\n',
  '\0',
  '\\x00',
  '\\x2f',
  '//',
  ' -5 ',
  '..',
  '99999999999999999999',
].map((text) => Buffer.from(text, 'latin1'))
const imageWords = [
  '00',
  'ff',
  '0000',
  'ffff',
  '00000000',
  'ffffffff',
  '01000000',
  '00100000',
  '20',
  '7f',
  'ffffff7f',
].map((hex) => Buffer.from(hex, 'hex'))

/** One to four wounds, most of them near the beginning, where an image has its superblock and a dump its root. */
function mutate(parent: Buffer, random: Random, words: readonly Buffer[]): Buffer {
  let bytes: Buffer = Buffer.from(parent)
  for (let wounds = 1 + random(4); wounds > 0; wounds--) bytes = wound(bytes, random, words)
  return bytes
}

function wound(bytes: Buffer, random: Random, words: readonly Buffer[]): Buffer {
  const limit = random(3) === 0 ? Math.min(bytes.length, 4096) : bytes.length
  const at = random(Math.max(limit, 1))
  const word = words[random(words.length)] as Buffer
  switch (random(8)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), word, bytes.subarray(at)])
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(80))])
    case 2:
      bytes.copyWithin(at, random(bytes.length), at + random(200))
      return bytes
    case 3:
    case 4:
      word.copy(bytes, at)
      return bytes
    default:
      if (bytes.length > 0) bytes[at] = random(3) === 0 ? (bytes[at] as number) ^ (1 << random(8)) : random(256)
      return bytes
  }
}
