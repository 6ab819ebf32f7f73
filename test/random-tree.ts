import { hash } from 'node:crypto'
import fc from 'fast-check'
import type { VerityDigest } from '../src/digest.ts'
import { type Content, type Xattrs, noContent, noXattrs } from '../src/formats/entry.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  emptyDirectory,
  inodeOf,
  isDirectory,
  sortedNames,
} from '../src/formats/tree.ts'

export interface RandomTreeOptions {
  /**
   * Also trees that an image cannot tell from others: with attributes that composefs itself uses to mark
   * whiteouts and their directories.
   */
  readonly ambiguous?: boolean
  /** Also contents whose bytes lie elsewhere than at their digest's own path. */
  readonly foreignPaths?: boolean
  /** Only what the kernel shows to root as it stands: ids that exist, no ACLs, no prefixes it does not know, no content without a place. */
  readonly mountable?: boolean
}

/**
 * Finished trees that go to the edges of EROFS: names around "." and the stubs, directories of several blocks, attributes that are shared,
 * crowded or escaped, contents of every kind, hard links under any of whose names the inode may stand.
 */
export function randomTree(options: RandomTreeOptions = {}): fc.Arbitrary<Directory> {
  return fc.tuple(inode(options), fc.array(step(options), { maxLength: 40 })).map(([root, steps]) => {
    const tree: Directory = Object.assign(emptyDirectory(), metadata(root))
    const directories = [tree]
    const files: Inode[] = []
    for (const each of steps) grow(directories, files, each)
    return tree
  })
}

interface Step {
  readonly parent: number
  readonly name: string
  /** How many siblings: more than one fills directories. */
  readonly copies: number
  /** Link to this file instead, when there is one. */
  readonly linkTo: number | undefined
  readonly inode: Inode
}

function grow(directories: Directory[], files: Inode[], { parent, name, copies, linkTo, inode: made }: Step): void {
  const directory = directories[parent % directories.length] as Directory
  for (let copy = 0; copy < copies; copy++) {
    const copyName = copies === 1 ? name : `${name.slice(0, 240)}-${copy}`
    if (directory.children.has(copyName)) continue
    const target = linkTo === undefined ? undefined : files[linkTo % Math.max(files.length, 1)]
    if (target !== undefined) {
      target.nlink++
      directory.children.set(copyName, { linkTo: target })
      continue
    }
    const child: Inode = { ...made, children: isDirectory(made) ? new Map() : undefined }
    directory.children.set(copyName, child)
    if (isDirectory(child)) {
      directory.nlink++
      directories.push(child)
    } else files.push(child)
  }
}

function metadata({ uid, gid, mtime, mtimeNsec, xattrs }: Inode): Partial<Inode> {
  return { uid, gid, mtime, mtimeNsec, xattrs }
}

function step(options: RandomTreeOptions): fc.Arbitrary<Step> {
  return fc.record({
    parent: fc.nat(50),
    name: fc.oneof(
      fc.constantFrom('a', 'b', '-', '...', '.-', '!', '00', 'ff', '0g', 'FF', 'x'.repeat(255), '\xff\xfe'),
      bytes(1, 40).filter((name) => name !== '.' && name !== '..'),
    ),
    copies: fc.oneof(
      { weight: 12, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.integer({ min: 2, max: 250 }) },
    ),
    linkTo: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat(30) }),
    inode: inode(options),
  })
}

function inode(options: RandomTreeOptions): fc.Arbitrary<Inode> {
  const common = fc.record({
    permissions: fc.constantFrom(0o755, 0o644, 0o7777, 0),
    uid: id(options),
    gid: id(options),
    mtime: fc.oneof(fc.constantFrom(0, 1_700_000_000), fc.integer({ min: -(2 ** 33), max: 2 ** 40 })),
    mtimeNsec: fc.constantFrom(0, 0, 1, 999_999_999),
    rdev: fc.constantFrom(0, 259, 0xffffffff),
    xattrs: xattrs(options),
    type: fc.constantFrom(S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK),
    content: content(options),
    target: fc.oneof(
      bytes(1, 60),
      fc.integer({ min: 3900, max: 4095 }).map((length) => 't'.repeat(length)),
    ),
  })
  return common.map(
    ({ permissions, type, uid, gid, mtime, mtimeNsec, rdev, xattrs: attributes, content: held, target }) => ({
      mode: type | permissions,
      uid,
      gid,
      mtime,
      mtimeNsec,
      rdev: type === S_IFCHR || type === S_IFBLK ? rdev : 0,
      nlink: type === S_IFDIR ? 2 : 1,
      xattrs: attributes,
      content: type === S_IFREG ? held : noContent,
      target: type === S_IFLNK ? target : '',
      children: type === S_IFDIR ? new Map() : undefined,
    }),
  )
}

function id({ mountable }: RandomTreeOptions): fc.Arbitrary<number> {
  return fc.constantFrom(0, 0, 1000, 65535, 65536, mountable === true ? 1 : 0xffffffff)
}

function content({ foreignPaths, mountable }: RandomTreeOptions): fc.Arbitrary<Content> {
  const size = fc.oneof(fc.constantFrom(65, 4096, 2 ** 32, 2 ** 43 + 1, 2 ** 53), fc.integer({ min: 65, max: 100_000 }))
  const path = fc.constantFrom('aa/bb', 'data.bin', `12/${'3'.repeat(62)}`)
  const kinds: fc.Arbitrary<Content>[] = [
    fc.constant(noContent),
    fc.integer({ min: 1, max: 64 }).map((length) => ({ kind: 'inline', bytes: Buffer.alloc(length, 'i') })),
    fc
      .constantFrom(2048, 2049, 4095, 4096, 4097, 5000)
      .map((length) => ({ kind: 'inline', bytes: Buffer.alloc(length, 'j') })),
    fc.record({ kind: fc.constant('object' as const), digest, size }),
    fc.record({ kind: fc.constant('object' as const), digest, size }),
    fc.record({ kind: fc.constant('unknown' as const), size, path }),
  ]
  if (mountable !== true) kinds.push(fc.record({ kind: fc.constant('unknown' as const), size }))
  if (foreignPaths === true)
    kinds.push(fc.record({ kind: fc.constant('object' as const), digest, size, path: fc.oneof(path, fc.constant('')) }))
  return fc.oneof(...kinds)
}

const digest = fc
  .oneof(fc.constantFrom('0', '1'), fc.stringMatching(/^[0-9a-f]{8}$/))
  .map((seed) => seed.repeat(64).slice(0, 64) as VerityDigest)

function xattrs({ ambiguous, mountable }: RandomTreeOptions): fc.Arbitrary<Xattrs> {
  const names = [
    'user.a',
    'user.overlay.redirect',
    'trusted.overlay.origin',
    'trusted.overlay.metacopy',
    'trusted.overlay.overlay.redirect',
    'security.selinux',
    `user.${'n'.repeat(250)}`,
  ]
  const unmountable = [
    'system.posix_acl_access',
    'system.posix_acl_defaultish',
    'lustre.x',
    'bare',
    'security.capability',
  ]
  const marks = ['whiteout', 'whiteouts', 'opaque'].flatMap((name) => [
    `trusted.overlay.${name}`,
    `user.overlay.${name}`,
  ])
  const name = fc.constantFrom(
    ...names,
    ...(mountable === true ? [] : unmountable),
    ...(ambiguous === true ? marks : []),
  )
  const value = fc.oneof(
    fc.constantFrom('', 'x', 'y', 'label').map((text) => Buffer.from(text)),
    fc.integer({ min: 0, max: 3000 }).map((length) => Buffer.alloc(length, 'v')),
  )
  const few = fc
    .array(fc.tuple(name, value), { maxLength: 4 })
    .map((pairs) => (pairs.length === 0 ? noXattrs : new Map(pairs)))
  return fc.oneof(
    { weight: 12, arbitrary: fc.constant(noXattrs) },
    { weight: 12, arbitrary: few },
    { weight: 1, arbitrary: crowded },
  )
}

/** More than an inode can refer to when all of them are shared. */
const crowded: fc.Arbitrary<Xattrs> = fc
  .integer({ min: 120, max: 140 })
  .map((count) => new Map(Array.from({ length: count }, (_, i) => [`user.${i}`, Buffer.from('v')])))

function bytes(minLength: number, maxLength: number): fc.Arbitrary<string> {
  const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f)
  return fc.array(byte, { minLength, maxLength }).map((codes) => String.fromCharCode(...codes))
}

/** What two trees are compared by: every name in depth-first byte order; the further names of an inode refer to the first. */
export function outline(root: Directory): unknown[] {
  const lines: unknown[] = []
  const firstNames = new Map<Inode, string>()
  const visit = (inode: Inode, path: string): void => {
    const first = firstNames.get(inode)
    lines.push([path, first === undefined ? facts(inode) : `link to ${first}`])
    firstNames.set(inode, path)
    if (isDirectory(inode))
      for (const name of sortedNames(inode)) visit(inodeOf(inode.children.get(name) as Child), `${path}/${name}`)
  }
  visit(root, '')
  return lines
}

function facts(each: Inode): object {
  const { content: held } = each
  return {
    ...each,
    children: undefined,
    xattrs: [...each.xattrs].map(([name, value]) => `${name}=${hash('sha1', value)}`).sort(),
    content: held.kind === 'inline' ? `inline ${held.bytes.length} ${hash('sha1', held.bytes)}` : { ...held },
  }
}
