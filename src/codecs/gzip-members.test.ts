import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { crc32, deflateRawSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { fuzzGzip } from '../../test/fuzz/gzip.ts'
import { type Code, hasCode } from '../error.ts'
import { type GzipMember, readGzipHeader, readGzipMembers } from './gzip-members.ts'

interface Parts {
  readonly flags?: number
  readonly middle?: string
  readonly data?: string
  readonly crc?: number
  readonly size?: number
  readonly method?: number
}

/** A member by hand: fixed header, what the flags announce, deflate, trailer. */
function member({
  flags = 0,
  middle = '',
  data = 'hello',
  crc = crc32(data),
  size = data.length,
  method = 8,
}: Parts): Buffer {
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size, 4)
  const header = Buffer.from([0x1f, 0x8b, method, flags, 0x78, 0x56, 0x34, 0x12, 0, 255])
  return Buffer.concat([header, Buffer.from(middle, 'latin1'), deflateRawSync(data), trailer])
}

function read(bytes: Uint8Array, maxBytes = 1 << 20): GzipMember[] {
  return [...readGzipMembers(bytes, maxBytes)]
}

function refuses(bytes: Uint8Array, code: Code, found: RegExp): void {
  assert.throws(
    () => read(bytes),
    (error) => hasCode(error, code) && found.test(error.message),
  )
}

const everything = 2 | 4 | 8 | 16
const middle = '\x0a\0SG\x02\0abXY\0\0name\0comment\0'
const headerCrc =
  crc32(
    Buffer.concat([
      Buffer.from([0x1f, 0x8b, 8, everything, 0x78, 0x56, 0x34, 0x12, 0, 255]),
      Buffer.from(middle, 'latin1'),
    ]),
  ) & 0xffff
const withAll = middle + String.fromCharCode(headerCrc & 255, headerCrc >> 8)

test('a header with everything in it', () => {
  const bytes = member({ flags: everything, middle: withAll })
  assert.deepEqual(readGzipHeader(bytes), {
    length: 10 + withAll.length,
    mtime: 0x12345678,
    os: 255,
    extra: [
      { id: 'SG', data: Buffer.from('ab') },
      { id: 'XY', data: Buffer.alloc(0) },
    ],
    name: 'name',
    comment: 'comment',
  })
  assert.equal(Buffer.from(read(bytes)[0]!.data).toString(), 'hello')
})

test('members one after the other, empty ones as well', () => {
  const parts = ['one', '', 'three'].map((data) => gzipSync(data))
  const found = read(Buffer.concat(parts))
  let offset = 0
  for (const [i, part] of parts.entries()) {
    assert.deepEqual([found[i]!.offset, found[i]!.length], [offset, part.length])
    offset += part.length
  }
  assert.deepEqual(
    found.map(({ data }) => Buffer.from(data).toString()),
    ['one', '', 'three'],
  )
})

test('a view into a larger buffer', () => {
  const bytes = Buffer.concat([Buffer.alloc(3, 0xff), gzipSync('view')])
  assert.equal(Buffer.from(read(bytes.subarray(3))[0]!.data).toString(), 'view')
})

test('zeros may follow, and nothing else', () => {
  assert.equal(read(Buffer.concat([gzipSync('x'), Buffer.alloc(512)])).length, 1)
  refuses(Buffer.concat([gzipSync('x'), Buffer.alloc(512), gzipSync('y')]), 'BAD_FORMAT', /follow the zero padding/)
  refuses(
    Buffer.concat([gzipSync('x'), Buffer.from('garbage')]),
    'BAD_FORMAT',
    /cut short in a header|no member begins/,
  )
  refuses(Buffer.concat([gzipSync('x'), Buffer.from('more garbage')]), 'BAD_FORMAT', /no member begins at byte 21/)
})

describe('refused', () => {
  for (const [what, bytes, code, found] of [
    ['nothing', Buffer.alloc(0), 'BAD_FORMAT', /cut short/],
    ['another method', member({ method: 7 }), 'BAD_FORMAT', /method 7, expected 8/],
    ['reserved flags', member({ flags: 0x20 }), 'BAD_FORMAT', /reserved/],
    [
      'a wrong header checksum',
      member({ flags: everything, middle: `${middle}\0\0` }),
      'BAD_FORMAT',
      /checksum of a header/,
    ],
    ['a wrong checksum', member({ crc: 1 }), 'BAD_FORMAT', /checksum of a member/],
    ['a wrong length', member({ size: 6 }), 'BAD_FORMAT', /length of a member/],
    [
      'a subfield beyond FEXTRA',
      member({ flags: 4, middle: '\x06\0SG\x03\0ab' }),
      'BAD_FORMAT',
      /cut short in a header/,
    ],
    [
      'a name without an end',
      Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255]), Buffer.alloc(50, 'n')]),
      'BAD_FORMAT',
      /cut short in a header/,
    ],
    [
      'deflate that is none',
      Buffer.concat([member({}).subarray(0, 10), Buffer.alloc(20, 0xff)]),
      'BAD_FORMAT',
      /invalid|type/,
    ],
  ] as const)
    test(what, () => refuses(bytes, code, found))

  test('a bomb', () => {
    const bomb = gzipSync(Buffer.alloc(1 << 20))
    assert.throws(
      () => read(bomb, 1000),
      (error) => hasCode(error, 'LIMIT'),
    )
    assert.equal(read(bomb, 1 << 20).length, 1)
    assert.throws(
      () => read(Buffer.concat([bomb, gzipSync('x')]), 1 << 20),
      (error) => hasCode(error, 'LIMIT'),
    )
  })

  test('cut at every byte but between members', () => {
    const whole = Buffer.concat([member({ flags: everything, middle: withAll }), gzipSync('second')])
    const accepted: number[] = []
    for (let length = 0; length < whole.length; length++) {
      try {
        read(whole.subarray(0, length))
        accepted.push(length)
      } catch (error) {
        assert.ok(hasCode(error, 'BAD_FORMAT'), String(error))
      }
    }
    assert.deepEqual(accepted, [whole.length - gzipSync('second').length])
  })
})

test('what zlib writes is read', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat(9)), { minLength: 1, maxLength: 4 }),
      (parts) => {
        const bytes = Buffer.concat(parts.map(([data, level]) => gzipSync(data, { level })))
        assert.deepEqual(
          read(bytes).map(({ data }) => Buffer.from(data)),
          parts.map(([data]) => Buffer.from(data)),
        )
      },
    ),
  )
})

test('random damage', () => fuzzGzip(1, 3000))
