import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { copier, type Decoder, gunzip, unzstd } from './zlib.ts'

const body = Buffer.concat([randomBytes(100_000), Buffer.alloc(1_000_000, 'onefold')])
const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex')

const encodings: readonly [name: string, make: () => Decoder, encoded: Uint8Array, decoded: Uint8Array][] = [
  ['gzip, one member', gunzip, gzipSync(body), body],
  [
    'gzip, many members',
    gunzip,
    Buffer.concat([gzipSync(body), gzipSync(''), gzipSync('x')]),
    Buffer.concat([body, Buffer.from('x')]),
  ],
  ['gzip, zero padding', gunzip, Buffer.concat([gzipSync('x'), Buffer.alloc(1000)]), Buffer.from('x')],
  ['zstd, one frame', zstd27, zstdCompressSync(body), body],
  [
    'zstd, many frames, empty and skippable ones',
    zstd27,
    Buffer.concat([
      skippable,
      zstdCompressSync(body),
      zstdCompressSync(''),
      skippable,
      zstdCompressSync('x'),
      skippable,
    ]),
    Buffer.concat([body, Buffer.from('x')]),
  ],
  ['nothing', copier, body, body],
]

function zstd27(): Decoder {
  return unzstd(27)
}

function decode(make: () => Decoder, encoded: Uint8Array, inputBytes: number, outputBytes: number): Buffer {
  using decoder = make()
  const output = new Uint8Array(outputBytes)
  const pieces: Buffer[] = []
  for (let at = 0; at < encoded.length; at += inputBytes) {
    let rest = encoded.subarray(at, at + inputBytes)
    for (;;) {
      const { consumed, produced } = decoder.step(rest, output)
      rest = rest.subarray(consumed)
      pieces.push(Buffer.from(output.subarray(0, produced)))
      if (produced < output.length && rest.length === 0) break
    }
  }
  decoder.end()
  return Buffer.concat(pieces)
}

describe('decoders', () => {
  for (const [name, make, encoded, decoded] of encodings)
    for (const [inputBytes, outputBytes] of [
      [1 << 20, 1 << 20],
      [997, 1009],
      [1 << 20, 64],
    ] as const)
      test(`${name}, ${inputBytes} bytes in, ${outputBytes} out`, () => {
        assert.ok(decode(make, encoded, inputBytes, outputBytes).equals(decoded))
      })

  const small: readonly [name: string, make: () => Decoder, pieces: readonly Uint8Array[]][] = [
    ['gzip', gunzip, [gzipSync(randomBytes(80)), gzipSync('second')]],
    ['zstd', zstd27, [zstdCompressSync(randomBytes(80)), zstdCompressSync('second')]],
  ]
  for (const [name, make, pieces] of small)
    test(`${name} cut short anywhere but behind a member is refused`, () => {
      const encoded = Buffer.concat(pieces)
      const whole = new Set([pieces[0]?.length, encoded.length])
      for (let length = 0; length <= encoded.length; length++) {
        const cut = encoded.subarray(0, length)
        if (whole.has(length)) decode(make, cut, 16, 64)
        else
          assert.throws(
            () => (length === 0 ? endOf(make) : decode(make, cut, 16, 64)),
            { code: 'BAD_FORMAT' },
            `${length} bytes`,
          )
      }
    })

  test('gzip trailers that lie are refused', () => {
    const encoded = gzipSync(body)
    for (const fromEnd of [8, 5, 4, 1]) {
      const bad = Buffer.from(encoded)
      bad[bad.length - fromEnd]! ^= 1
      assert.throws(() => decode(gunzip, bad, 1 << 16, 1 << 16), { code: 'BAD_FORMAT' })
    }
  })

  test('garbage behind the last gzip member is refused', () => {
    for (const garbage of ['garbage', '\0\0garbage', '\x1f\x8b'])
      assert.throws(() => decode(gunzip, Buffer.concat([gzipSync('x'), Buffer.from(garbage, 'latin1')]), 7, 64), {
        code: 'BAD_FORMAT',
      })
  })

  test('zstd windows above the limit are refused', () => {
    const long = zstdCompressSync(body, {
      params: { [constants.ZSTD_c_windowLog]: 28, [constants.ZSTD_c_contentSizeFlag]: 0 },
    })
    assert.throws(() => decode(() => unzstd(10), long, 1 << 20, 1 << 20), { code: 'BAD_FORMAT' })
  })
})

function endOf(make: () => Decoder): void {
  using decoder = make()
  decoder.end()
}
