import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inflateRawSync } from 'node:zlib'
import { noise } from '../../test/servers/registry.ts'
import { deflateBlock, deflatedMax, dictionaryBytes } from './deflate-block.ts'

const text = Buffer.alloc(200_000, 'words that compress, and then ').map((byte, at) => (at % 997 === 0 ? at : byte))

function deflate(input: Uint8Array, dictionary: Uint8Array, isLast: boolean, level?: number): Buffer {
  const output = new Uint8Array(deflatedMax(input.length))
  return Buffer.from(output.subarray(0, deflateBlock(input, dictionary, isLast, output, level)))
}

/** One stream of blocks of `blockBytes`. */
function joined(bytes: Uint8Array, blockBytes: number, level?: number): Buffer {
  const blocks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const dictionary = bytes.subarray(Math.max(0, at - dictionaryBytes), at)
    blocks.push(deflate(bytes.subarray(at, at + blockBytes), dictionary, at + blockBytes >= bytes.length, level))
  }
  return Buffer.concat(blocks)
}

describe('deflateBlock()', () => {
  for (const level of [undefined, 1, 6, 9])
    test(`blocks make one stream when they are joined, ${level === undefined ? 'tuned' : `level ${level}`}`, () => {
      for (const blockBytes of [16 * 1024, 50_001, 200_000])
        assert.ok(inflateRawSync(joined(text, blockBytes, level)).equals(text))
    })

  test('blocks refer to what came before them', () => {
    const bytes = noise(20_000)
    const twice = Buffer.concat([bytes, bytes])
    assert.ok(joined(twice, 20_000).length < 22_000)
  })

  test('what does not compress has room, and so has nothing', () => {
    for (const length of [0, 1, 1024 * 1024])
      assert.ok(inflateRawSync(deflate(noise(length), new Uint8Array(0), true)).equals(noise(length)))
  })

  test('all but the last block end at a byte', () => {
    assert.equal(deflate(text, new Uint8Array(0), false).subarray(-4).toString('hex'), '0000ffff')
  })
})
