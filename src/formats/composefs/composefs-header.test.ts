import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TinyErofs } from '../../../test/fixtures/tiny-erofs.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import {
  composefsHasAcl,
  composefsHeader,
  composefsMagic,
  composefsVersion,
  readComposefsHeader,
} from './composefs-header.ts'

function header(image: Buffer, version: number, headerVersion = 1, flags = 0): Buffer {
  image.writeUInt32LE(composefsMagic, composefsHeader.magic)
  image.writeUInt32LE(headerVersion, composefsHeader.headerVersion)
  image.writeUInt32LE(flags, composefsHeader.flags)
  image.writeUInt32LE(version, composefsHeader.version)
  return image
}

test('is read from the first bytes of an image', () => {
  const bytes = header(Buffer.alloc(32), 1, 1, composefsHasAcl)
  assert.deepEqual(readComposefsHeader(bytes), { headerVersion: 1, version: 1, hasAcl: true })
  assert.deepEqual(readComposefsHeader(header(Buffer.alloc(32), 2, 9)), { headerVersion: 9, version: 2, hasAcl: false })
  assert.equal(readComposefsHeader(bytes.subarray(0, 31)), undefined)
  assert.equal(readComposefsHeader(Buffer.alloc(32)), undefined)
})

test('tells composefs images from plain ones', () => {
  assert.equal(composefsVersion(new ErofsReader(new TinyErofs().bytes)), undefined)
  assert.equal(composefsVersion(new ErofsReader(header(new TinyErofs().bytes, 1))), 1)
})

test('of the future, or of an image with blocks of its own size, is refused', () => {
  assert.throws(() => composefsVersion(new ErofsReader(header(new TinyErofs().bytes, 1, 2))), { code: 'UNSUPPORTED' })
  const small = header(new TinyErofs({ blockBits: 9, blocks: 16 }).bytes, 1)
  assert.throws(() => composefsVersion(new ErofsReader(small)), { code: 'BAD_FORMAT', message: /blocks of 4096 bytes/ })
})
