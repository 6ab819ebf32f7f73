import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { randomTree } from '../../../test/fixtures/random-tree.ts'
import type { VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Directory, inodeOf, isDirectory } from '../tree.ts'
import { visitImageObjects } from './image-objects.ts'
import { readErofs } from './read-image.ts'
import { writeErofs } from './write-image.ts'

function objectsOf(bytes: Uint8Array): VerityDigest[] {
  const found: VerityDigest[] = []
  visitImageObjects(bytes, (digest) => found.push(digest))
  return found.sort()
}

function objectsIn(root: Directory): VerityDigest[] {
  const inodes = new Set([root].map(inodeOf))
  for (const inode of inodes)
    if (isDirectory(inode)) for (const child of inode.children.values()) inodes.add(inodeOf(child))
  return [...inodes].flatMap(({ content }) => (content.kind === 'object' ? [content.digest] : [])).sort()
}

test('an image names the objects that its tree has, each inode once', () => {
  fc.assert(
    fc.property(randomTree(), (tree) => {
      const { bytes } = writeErofs(tree)
      assert.deepEqual(objectsOf(bytes), objectsIn(readErofs(bytes)))
    }),
    { numRuns: 100 },
  )
})

test('a damaged image ends in an error of ours, or gives what it names', () => {
  fc.assert(
    fc.property(randomTree(), fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }), (tree, edits) => {
      const { bytes } = writeErofs(tree)
      for (const [at, byte] of edits) bytes[at % bytes.length] = byte
      try {
        for (const digest of objectsOf(bytes)) assert.match(digest, /^[0-9a-f]{64}$/)
      } catch (error) {
        if (!(error instanceof OnefoldError)) throw error
      }
    }),
    { numRuns: 200 },
  )
})
