import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Decoder, Drain, type Step } from './codec.ts'

/** Takes a byte at a time and gives `times` copies of it, as far as there is room; the rest it holds back. */
class Repeater implements Decoder {
  readonly #times: number
  #held: number[] = []
  disposed = 0

  constructor(times: number) {
    this.#times = times
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    let consumed = 0
    const [first] = input
    if (this.#held.length === 0 && first !== undefined) {
      this.#held = Array<number>(this.#times).fill(first)
      consumed = 1
    }
    const given = this.#held.splice(0, output.length)
    output.set(given)
    return { consumed, produced: given.length }
  }

  end(): void {
    if (this.#held.length > 0) throw new Error('something is held back')
  }

  [Symbol.dispose](): void {
    this.disposed++
  }
}

function readAll(drain: Drain, room: Uint8Array): number[] {
  const all: number[] = []
  for (let length = drain.read(room); length > 0; length = drain.read(room)) all.push(...room.subarray(0, length))
  return all
}

describe('Drain', () => {
  for (const [times, room] of [
    [1, 1],
    [3, 2],
    [3, 3],
    [4, 2],
    [5, 100],
  ] as const)
    test(`gives all, also what is held back: ${times} for one, ${room} at a time`, () => {
      using drain = new Drain(new Repeater(times), 'a test')
      const expected = (bytes: number[]): number[] => bytes.flatMap((byte) => Array<number>(times).fill(byte))
      for (const bytes of [[1, 2, 3], [], [4]]) {
        drain.give(Uint8Array.from(bytes))
        assert.deepEqual(readAll(drain, new Uint8Array(room)), expected(bytes))
        drain.end()
      }
    })

  test('goes on where nothing came of some input', () => {
    using drain = new Drain(new Repeater(0), 'a test')
    drain.give(Uint8Array.of(1, 2, 3))
    assert.equal(drain.read(new Uint8Array(5)), 0)
    drain.give(Uint8Array.of(4))
  })

  test('takes no new input before the last is decoded', () => {
    using drain = new Drain(new Repeater(2), 'a test')
    drain.give(Uint8Array.of(1, 2))
    drain.read(new Uint8Array(1))
    assert.throws(() => drain.give(Uint8Array.of(3)), /1 bytes of input have not been decoded yet/)
  })

  test('refuses a decoder that neither takes nor gives', () => {
    const idle: Decoder = { step: () => ({ consumed: 0, produced: 0 }), end() {}, [Symbol.dispose]() {} }
    using drain = new Drain(idle, 'layer 7')
    assert.equal(drain.read(new Uint8Array(5)), 0)
    drain.give(Uint8Array.of(1))
    assert.throws(() => drain.read(new Uint8Array(5)), {
      code: 'BAD_FORMAT',
      message: 'Cannot decompress layer 7: the decoder is stuck',
    })
  })

  test('owns its decoder', () => {
    const decoder = new Repeater(1)
    new Drain(decoder, 'a test')[Symbol.dispose]()
    assert.equal(decoder.disposed, 1)
  })
})
