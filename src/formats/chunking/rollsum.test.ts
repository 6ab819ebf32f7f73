import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyContent } from '../../../test/fixtures/table-layers.ts'
import { noise } from '../../../test/servers/registry.ts'
import { RollsumChunker } from './rollsum.ts'

/** Length of each chunk; holes are negative. */
type Cuts = number[]

function cuts(bytes: Uint8Array, step = Math.max(1, bytes.length)): Cuts {
  const found: Cuts = []
  let length = 0
  const passed: Buffer[] = []
  const chunker = new RollsumChunker({
    data: (part) => {
      length += part.length
      passed.push(Buffer.from(part))
    },
    hole: (zeros) => {
      assert.equal(length, 0, 'what comes before a hole is cut off')
      passed.push(Buffer.alloc(zeros))
      found.push(-zeros)
    },
    cut: () => {
      assert.ok(length > 0)
      found.push(length)
      length = 0
    },
  })
  for (let at = 0; at < bytes.length; at += step) chunker.write(bytes.subarray(at, at + step))
  chunker.end()
  assert.equal(length, 0, 'the last chunk is cut off')
  assert.ok(Buffer.concat(passed).equals(bytes))
  return found
}

/** The rules once more, with no thought of speed: 32-bit sums over a window of 64 bytes, each byte counted 31 higher. */
function slowCuts(bytes: Uint8Array): Cuts {
  const found: Cuts = []
  const window = new Uint8Array(64)
  let [one, two, slot, length] = [64 * 31, 64 * 63 * 31, 0, 0]
  const roll = (byte: number): void => {
    const drop = window[slot]!
    one = (one + byte - drop) >>> 0
    two = (two + one - 64 * (drop + 31)) >>> 0
    window[slot] = byte
    slot = (slot + 1) % 64
  }
  const end = (): void => {
    if (length > 0) found.push(length)
    length = 0
  }
  for (let at = 0; at < bytes.length;) {
    let zeros = 0
    while (at + zeros < bytes.length && bytes[at + zeros] === 0) zeros++
    if (zeros >= 1024) {
      end()
      found.push(-zeros)
      for (let i = 0; i < zeros; i++) roll(0)
      at += zeros
      continue
    }
    for (let i = 0; i < Math.max(1, zeros); i++) {
      roll(bytes[at++]!)
      length++
      if (two % 65_536 === 65_535) end()
    }
  }
  end()
  return found
}

test('cuts as the rules say, whatever pieces the file comes in', () => {
  fc.assert(
    fc.property(anyContent, fc.integer({ min: 1, max: 9000 }), (bytes, step) => {
      const wanted = slowCuts(bytes)
      assert.deepEqual(cuts(bytes), wanted)
      assert.deepEqual(cuts(bytes, step), wanted)
    }),
    { numRuns: 40 },
  )
})

test('the cuts of known bytes', () => {
  assert.deepEqual(cuts(Buffer.alloc(0)), [])
  assert.deepEqual(cuts(Buffer.alloc(1023)), [1023])
  assert.deepEqual(cuts(Buffer.alloc(1024)), [-1024])
  assert.deepEqual(cuts(Buffer.concat([Buffer.alloc(1024), Buffer.from('x'), Buffer.alloc(1023)])), [-1024, 1024])
  assert.deepEqual(cuts(Buffer.concat([Buffer.from('x'), Buffer.alloc(5000), Buffer.from('y')]), 1), [1, -5000, 1])
  assert.deepEqual(cuts(noise(300_000, 7)), [148_882, 27_555, 21_870, 25_719, 30_430, 45_544])
})

test('a chunker is ready for the next file', () => {
  const file = noise(100_000, 7)
  const found: number[][] = [[], []]
  let [which, length] = [0, 0]
  const chunker = new RollsumChunker({
    data: (part) => void (length += part.length),
    hole: () => assert.fail('there is none'),
    cut: () => {
      found[which]!.push(length)
      length = 0
    },
  })
  for (which of [0, 1]) {
    chunker.write(file)
    chunker.end()
  }
  assert.deepEqual(found[1], found[0])
})
