import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { header } from '../../test/fixtures/tar-bytes.ts'
import { hasCode } from '../error.ts'
import { detectCompression } from './detect.ts'

for (const [what, bytes, expected] of [
  ['gzip', gzipSync('x'), 'gzip'],
  ['zstd', zstdCompressSync('x'), 'zstd'],
  ['a skippable frame', Buffer.from('5f2a4d1800000000', 'hex'), 'zstd'],
  ['a tar', header({ name: 'a' }), 'none'],
  ['a tar whose first name looks like gzip', header({ name: '\x1f\x8b' }), 'none'],
  ['a tar whose first name looks like bzip2', header({ name: 'BZh9' }), 'none'],
  ['zeros', Buffer.alloc(512), 'none'],
  ['too little to say', Buffer.of(0x1f, 0x8b), 'none'],
  ['nothing', Buffer.alloc(0), 'none'],
] as const)
  test(`${what}: ${expected}`, () => assert.equal(detectCompression(bytes), expected))

for (const [name, hex] of [
  ['xz', 'fd377a585a0000'],
  ['bzip2', '425a6839314159265359'],
] as const)
  test(`${name} is refused by name`, () =>
    assert.throws(
      () => detectCompression(Buffer.from(hex, 'hex')),
      (error) => hasCode(error, 'UNSUPPORTED') && error.message.includes(name),
    ))
