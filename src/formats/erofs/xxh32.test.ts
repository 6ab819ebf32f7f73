import assert from 'node:assert/strict'
import { test } from 'node:test'
import { xxh32 } from './xxh32.ts'

const known: [text: string, seed: number, hash: number][] = [
  ['', 0, 0x02cc5d05],
  ['a', 0, 0x550d7456],
  ['abc', 0, 0x32d153ff],
  ['Nobody inspects the spammish repetition', 0, 0xe2293b2f],
  ['', 0x9e3779b1, 0x36b78ae7],
]

for (const [text, seed, hash] of known)
  test(`xxh32 of ${JSON.stringify(text)} with seed ${seed}`, () => assert.equal(xxh32(text, seed), hash))
