import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseVerityDigest } from '../../digest.ts'
import { type Content, noContent } from '../entry.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import { type Inode, S_IFCHR, S_IFREG, emptyDirectory } from '../tree.ts'
import { InodeOrders, isWhiteoutDevice } from './inode-orders.ts'
import { writeErofs } from './write-image.ts'

const digest = parseVerityDigest('ab'.repeat(32))

function file(content: Content, xattrs: Record<string, string> = {}, mode = S_IFREG | 0o644): Inode {
  const attributes = new Map(Object.entries(xattrs).map(([name, value]) => [name, Buffer.from(value)]))
  return { ...emptyDirectory(), mode, nlink: 1, content, xattrs: attributes, children: undefined }
}

/** The orders of the one inode of an image, after it was read once more for another one. */
function ordersOf(inode: Inode): {
  orders: InodeOrders
  text: (span: readonly [number, number] | undefined) => string
} {
  const root = { ...emptyDirectory(), children: new Map([['name', inode]]) }
  const image = new ErofsReader(writeErofs(root).bytes)
  const rootInode = image.inode(image.rootNid)
  const nid = image.find(rootInode, 'name')
  assert.ok(nid !== undefined)
  const orders = new InodeOrders(image)
  orders.read(rootInode)
  orders.read(image.inode(nid))
  return { orders, text: (span) => (span === undefined ? 'none' : image.bytes.toString('latin1', ...span)) }
}

test('an object has a digest and a place', () => {
  const { orders, text } = ordersOf(file({ kind: 'object', digest, size: 1000 }))
  assert.equal(text(orders.redirect), `/ab/${digest.slice(2)}`)
  assert.equal(text(orders.place), `ab/${digest.slice(2)}`)
  assert.equal(Buffer.from(text([orders.digestAt, orders.digestAt + 32]), 'latin1').toString('hex'), digest)
  assert.equal(orders.isMarkedWhiteout, false)
})

test('content without a digest has a place at most', () => {
  const { orders, text } = ordersOf(file({ kind: 'unknown', size: 1000, path: 'x/y' }))
  assert.deepEqual([text(orders.metacopy), text(orders.place), orders.digestAt], ['', 'x/y', -1])
  const nowhere = ordersOf(file({ kind: 'unknown', size: 1000 })).orders
  assert.deepEqual([nowhere.redirect, nowhere.place, nowhere.digestAt], [undefined, undefined, -1])
})

test("a user's own attributes are no orders, whatever they were called", () => {
  const { orders, text } = ordersOf(
    file(noContent, { 'trusted.overlay.redirect': '/etc/shadow', 'user.overlay.metacopy': '' }),
  )
  assert.deepEqual([text(orders.redirect), text(orders.metacopy)], ['none', 'none'])
  assert.deepEqual([orders.roleOf(0), orders.roleOf(1)], ['user', 'user'])
})

describe('a file that stands for a whiteout', () => {
  test('is empty and has the mark', () => {
    const { orders } = ordersOf(file(noContent, {}, S_IFCHR | 0o644))
    assert.equal(orders.isMarkedWhiteout, true)
    const names = orders.xattrs.names.slice(0, orders.xattrs.count).map(({ text }, i) => [text, orders.roleOf(i)])
    assert.deepEqual(Object.fromEntries(names), {
      'trusted.overlay.overlay.whiteout': 'whiteout mark',
      'user.overlay.whiteout': 'whiteout mark',
    })
  })

  test('is not one with content, nor with half of the mark', () => {
    const marked = file({ kind: 'inline', bytes: Buffer.from('x') }, { 'trusted.overlay.whiteout': '' })
    assert.equal(ordersOf(marked).orders.isMarkedWhiteout, false)
    assert.equal(ordersOf(file(noContent, { 'user.overlay.whiteout': '' })).orders.isMarkedWhiteout, false)
  })
})

test('a whiteout to overlayfs is a character device 0:0', () => {
  const image = new ErofsReader(writeErofs(emptyDirectory()).bytes)
  const root = image.inode(image.rootNid)
  const stub = image.inode(image.find(root, 'a0') ?? -1)
  assert.deepEqual(
    [isWhiteoutDevice(stub), isWhiteoutDevice({ ...stub, union: 3 }), isWhiteoutDevice(root)],
    [true, false, false],
  )
})
