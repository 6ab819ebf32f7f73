import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { needsPrograms, needsRoot } from '../../../test/fixtures/needs.ts'
import { randomTree } from '../../../test/fixtures/random-tree.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { walk } from '../../image/tree-json.ts'
import { pathToBytes } from '../../paths.ts'
import { type Directory, type Inode, S_IFCHR, S_IFMT, S_IFREG, isDirectory, isHardLink, sortedNames } from '../tree.ts'
import { getXattr, listXattrs } from '../../linux/xattr.ts'
import { type Xattrs, sizeOf } from '../entry.ts'
import { writeErofs } from './write-image.ts'

const rounds = 15

test('fsck.erofs finds nothing wrong with any image', { skip: needsPrograms('fsck.erofs') }, () => {
  using folder = scratch('fsck')
  for (const tree of fc.sample(randomTree({ ambiguous: true, foreignPaths: true }), { numRuns: rounds, seed: 1 })) {
    writeFileSync(folder.at('image'), writeErofs(tree).bytes)
    execFileSync('fsck.erofs', [folder.at('image')], { stdio: 'pipe' })
  }
})

test('the kernel shows the tree that was written', { skip: needsRoot || needsPrograms('mount', 'umount') }, () => {
  using folder = scratch('kernel')
  for (const name of ['meta', 'objects', 'tree']) mkdirSync(folder.at(name))
  for (const [round, tree] of fc.sample(randomTree({ mountable: true }), { numRuns: rounds, seed: 1 }).entries()) {
    // A file of its own: the loop device of the last one may still be there, with what it had read.
    const image = folder.at(`image-${round}`)
    writeFileSync(image, writeErofs(tree).bytes)
    mounted(['-t', 'erofs', '-o', 'ro,loop', image], folder.at('meta'), () => {
      const layers = `ro,metacopy=on,redirect_dir=on,lowerdir=${folder.at('meta')}::${folder.at('objects')}`
      mounted(['-t', 'overlay', '-o', layers, 'overlay'], folder.at('tree'), () => compare(tree, folder.at('tree')))
    })
  }
})

function mounted(options: string[], at: string, body: () => void): void {
  execFileSync('mount', [...options, at])
  try {
    body()
  } finally {
    execFileSync('umount', [at])
  }
}

function compare(tree: Directory, root: string): void {
  for (const { path, inode } of walk(tree)) {
    const file = pathToBytes(`${root}/${path}`)
    if (path !== '') assert.deepEqual(statOf(file), wanted(inode), JSON.stringify(path))
    if (isPlain(inode)) assert.deepEqual(xattrsOf(`${root}/${path}`), texts(inode.xattrs), JSON.stringify(path))
    if (inode.target !== '') assert.equal(readlinkSync(file, 'latin1'), inode.target)
    if (inode.content.kind === 'inline') assert.ok(readFileSync(file).equals(inode.content.bytes))
    if (isDirectory(inode)) assert.deepEqual(readdirSync(file, 'latin1').sort(), sortedNames(inode))
  }
}

/** Whiteouts and the directories that hold them have marks besides; on special files the kernel lists `user.` but denies it. */
function isPlain(inode: Inode): boolean {
  if (isDirectory(inode)) return ![...inode.children.values()].some((child) => !isHardLink(child) && isWhiteout(child))
  return (inode.mode & S_IFMT) === S_IFREG
}

function xattrsOf(path: string): object {
  return texts(new Map(listXattrs(path).map((name) => [name, getXattr(path, name) ?? Buffer.from('vanished')])))
}

function texts(xattrs: Xattrs): object {
  return Object.fromEntries([...xattrs].map(([name, value]) => [name, hash('sha1', value)]))
}

function statOf(file: Buffer): object {
  const { mode, uid, gid, mtimeNs, size, rdev } = lstatSync(file, { bigint: true })
  const isSized = (Number(mode) & S_IFMT) === S_IFREG
  return {
    mode: Number(mode),
    uid: Number(uid),
    gid: Number(gid),
    mtimeNs,
    size: isSized ? Number(size) : 0,
    rdev: rdev > 0n,
  }
}

function isWhiteout(inode: Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFCHR && inode.rdev === 0
}

/** A user's own whiteout shows as the empty file that a nested overlay mount takes for one. */
function wanted(inode: Inode): object {
  return {
    mode: isWhiteout(inode) ? (inode.mode & ~S_IFMT) | S_IFREG : inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtimeNs: BigInt(inode.mtime) * 1_000_000_000n + BigInt(inode.mtimeNsec),
    size: sizeOf(inode.content),
    rdev: inode.rdev > 0,
  }
}
