import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { digestOf } from '../../digest.ts'
import { blockBytes } from './block.ts'
import { noise } from '../../../test/servers/registry.ts'
import { Recompressor } from './recompress.ts'

/** Words in no order, the same for the same length: about as programs compress, with many ways to do it. */
function words(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  const dice = noise(length)
  for (let at = 0, i = 0; at < length; i += 2) {
    const [a = 0, b = 0] = dice.subarray(i % length)
    at += bytes.write(`${((a * b) >> 8).toString(36)}${' ./{'[b % 4]}`, at, 'latin1')
  }
  return bytes
}

function* pieces(bytes: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

async function compressed(recompressor: Recompressor, chunks: Iterable<Uint8Array>): Promise<Buffer> {
  const out: Uint8Array[] = []
  for await (const chunk of recompressor.gzip(chunks)) out.push(chunk.slice())
  return Buffer.concat(out)
}

const text = words(3 * blockBytes + 12_345)

describe('Recompressor', () => {
  const lengths = [0, 1, 511, blockBytes - 1, blockBytes, blockBytes + 1, 2 * blockBytes, text.length]
  for (const length of lengths)
    test(`gives ${length} bytes back`, async () => {
      await using recompressor = new Recompressor(2)
      const bytes = text.subarray(0, length)
      assert.ok(gunzipSync(await compressed(recompressor, pieces(bytes, 70_001))).equals(bytes))
    })

  test('writes the same bytes on any number of threads, however the input comes', async () => {
    const digests = new Set<string>()
    for (const [threads, piece] of [
      [1, text.length],
      [2, 99_991],
      [3, 1024 * 1024],
      [3, 4096],
    ] as const) {
      await using recompressor = new Recompressor(threads)
      for (let i = 0; i < 2; i++) digests.add(digestOf(await compressed(recompressor, pieces(text, piece))))
    }
    assert.deepEqual([...digests], ['sha256:42024ca77198afe9fd16e1a21929788ecad6208ee6e17fccf7a2bca2190cad41'])
  })

  test('is about as small as gzip, and adds next to nothing to what does not compress', async () => {
    await using recompressor = new Recompressor(2)
    const [ours, theirs] = [await compressed(recompressor, [text]), gzipSync(text)]
    assert.ok(ours.length < theirs.length * 1.03, `${ours.length} bytes, gzip has ${theirs.length}`)
    const twice = await compressed(recompressor, [ours])
    assert.ok(twice.length < ours.length * 1.001, `${twice.length} of ${ours.length}`)
  })

  test('has a header without name and time', async () => {
    await using recompressor = new Recompressor(1)
    assert.equal((await compressed(recompressor, [])).toString('hex'), '1f8b08000000000000ff03000000000000000000')
  })

  test('passes on what its input throws, and works on', async () => {
    await using recompressor = new Recompressor(2)
    const failing = function* (): Generator<Uint8Array> {
      yield text
      throw new Error('no more')
    }
    await assert.rejects(compressed(recompressor, failing()), { message: 'no more' })
    for await (const _ of recompressor.gzip([text])) break
    assert.ok(gunzipSync(await compressed(recompressor, [text])).equals(text))
  })
})
