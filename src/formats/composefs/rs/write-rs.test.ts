import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseVerityDigest } from '../../../digest.ts'
import { type Content, noContent, noXattrs } from '../../entry.ts'
import { verityDigest } from '../../fsverity/verity-digest.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  emptyDirectory,
  isHardLink,
} from '../../tree.ts'
import { readErofs } from '../read-image.ts'
import { writeRsErofs } from './write-rs.ts'

/** The trees and digests that composefs-rs pins in its own tests. */
describe('writeRsErofs', () => {
  test('writes an empty tree as composefs-rs does', () => {
    assert.equal(digestOfTree({}), '086b702a519b57d6ef5aea6f8b3f2be24355cd1fb835cd80fb4e3d388b24d5a5')
  })

  test('writes every kind of inode as composefs-rs does', () => {
    const digest = parseVerityDigest('5a'.repeat(32))
    const tree = {
      fifo: leaf(S_IFIFO),
      'regular-inline': leaf(S_IFREG, { content: { kind: 'inline', bytes: Buffer.from('hihi') } }),
      'regular-external': leaf(S_IFREG, { content: { kind: 'object', digest, size: 1234 } }),
      chrdev: leaf(S_IFCHR, { rdev: 123 }),
      blkdev: leaf(S_IFBLK, { rdev: 123 }),
      socket: leaf(S_IFSOCK),
      symlink: leaf(S_IFLNK, { target: '/target' }),
    }
    assert.equal(digestOfTree(tree), 'a8fcd41f8b313bede69f462f2af0a38d64b99a6333f5df884ea9ab4037fac722')
  })
})

test('what is written is read again, attributes of all prefixes included', () => {
  const xattrs = new Map(['lustre.x', 'security.a', 'user.b'].map((name) => [name, Buffer.from(name)]))
  const root: Directory = { ...emptyDirectory(), children: new Map([['fifo', { ...leaf(S_IFIFO), xattrs }]]) }
  const fifo = readErofs(writeRsErofs(root)).children.get('fifo')
  assert.ok(fifo !== undefined && !isHardLink(fifo))
  assert.deepEqual([...fifo.xattrs.keys()], ['lustre.x', 'security.a', 'user.b'])
})

function digestOfTree(children: Readonly<Record<string, Child>>): string {
  const root: Directory = { ...emptyDirectory(), children: new Map(Object.entries(children)) }
  return verityDigest(writeRsErofs(root))
}

function leaf(mode: number, rest: { content?: Content; rdev?: number; target?: string } = {}): Inode {
  return {
    mode,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNsec: 0,
    rdev: rest.rdev ?? 0,
    nlink: 1,
    xattrs: noXattrs,
    content: rest.content ?? noContent,
    target: rest.target ?? '',
    children: undefined,
  }
}
