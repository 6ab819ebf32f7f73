import type { Content, Xattrs } from '../formats/entry.ts'
import { sizeOf } from '../formats/entry.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import {
  type Directory,
  type Inode,
  S_IFMT,
  compareNames,
  inodeOf,
  isDirectory,
  isHardLink,
  namesBelow,
  sortedNames,
} from '../formats/tree.ts'

/** Properties by which two inodes of the same name are compared; docs/tree.md says what each means. */
export type Field = 'type' | 'mode' | 'owner' | 'mtime' | 'device' | 'size' | 'content' | 'target' | 'xattrs' | 'links'

export type Change =
  | { readonly kind: 'added'; readonly path: string; readonly after: Inode }
  | { readonly kind: 'removed'; readonly path: string; readonly before: Inode }
  | {
      readonly kind: 'changed'
      readonly path: string
      readonly before: Inode
      readonly after: Inode
      /** Differing fields, at least one; only 'type' when the types differ. */
      readonly fields: readonly Field[]
    }

/**
 * Yields what differs between two finished trees, in depth-first byte order of path; the root is ''. Everything below a
 * directory that was added, removed or turned into something else is listed as well.
 */
export function* diffTrees(before: Directory, after: Directory): Generator<Change> {
  const links = { before: groupsOf(before), after: groupsOf(after) }
  const pending: Pair[] = [{ path: '', before, after }]
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    const change = compare(pair, links)
    if (change !== undefined) yield change
    for (const child of below(pair).reverse()) pending.push(child)
  }
}

interface Pair {
  readonly path: string
  readonly before: Inode | undefined
  readonly after: Inode | undefined
}

type Groups = ReadonlyMap<Inode, string>

function compare({ path, before, after }: Pair, links: { before: Groups; after: Groups }): Change | undefined {
  if (before === undefined) return after === undefined ? undefined : { kind: 'added', path, after }
  if (after === undefined) return { kind: 'removed', path, before }
  const fields = changedFields(before, after)
  if (fields[0] !== 'type' && !sameLinks(path, before, after, links)) fields.push('links')
  return fields.length === 0 ? undefined : { kind: 'changed', path, before, after, fields }
}

function below({ path, before, after }: Pair): Pair[] {
  const was = before !== undefined && isDirectory(before) ? before : undefined
  const is = after !== undefined && isDirectory(after) ? after : undefined
  const prefix = path === '' ? '' : `${path}/`
  return unionOfNames(was, is).map((name) => ({
    path: prefix + name,
    before: childOf(was, name),
    after: childOf(is, name),
  }))
}

function unionOfNames(a: Directory | undefined, b: Directory | undefined): string[] {
  if (a === undefined || b === undefined) {
    const only = a ?? b
    return only === undefined ? [] : sortedNames(only)
  }
  return [...new Set([...a.children.keys(), ...b.children.keys()])].sort(compareNames)
}

function childOf(directory: Directory | undefined, name: string): Inode | undefined {
  const child = directory?.children.get(name)
  return child === undefined ? undefined : inodeOf(child)
}

/** Returns the fields in which two inodes differ, links apart; only 'type' when they are of different types. */
export function changedFields(a: Inode, b: Inode): Field[] {
  if ((a.mode & S_IFMT) !== (b.mode & S_IFMT)) return ['type']
  const fields: Field[] = []
  if (a.mode !== b.mode) fields.push('mode')
  if (a.uid !== b.uid || a.gid !== b.gid) fields.push('owner')
  if (a.mtime !== b.mtime || a.mtimeNsec !== b.mtimeNsec) fields.push('mtime')
  if (a.rdev !== b.rdev) fields.push('device')
  if (sizeOf(a.content) !== sizeOf(b.content)) fields.push('size')
  if (!sameContent(a.content, b.content)) fields.push('content')
  if (a.target !== b.target) fields.push('target')
  if (!sameXattrs(a.xattrs, b.xattrs)) fields.push('xattrs')
  return fields
}

/** Compares two contents. One whose bytes nobody has seen is compared by its size, which is all there is. */
function sameContent(a: Content, b: Content): boolean {
  if (sizeOf(a) !== sizeOf(b)) return false
  if (sizeOf(a) === 0 || a.kind === 'unknown' || b.kind === 'unknown') return true
  if (a.kind === 'inline' && b.kind === 'inline') return Buffer.compare(a.bytes, b.bytes) === 0
  return nameOf(a) === nameOf(b)
}

function nameOf(content: Content): string | undefined {
  if (content.kind === 'object') return content.digest
  return content.kind === 'inline' ? verityDigest(content.bytes) : undefined
}

export function sameXattrs(a: Xattrs, b: Xattrs): boolean {
  if (a.size !== b.size) return false
  for (const [name, value] of a) {
    const other = b.get(name)
    if (other === undefined || Buffer.compare(value, other) !== 0) return false
  }
  return true
}

/**
 * Tells whether an inode has the same names in both trees. Every path says which group it is in by the group's first
 * name; that and the count tell all groups apart.
 */
function sameLinks(path: string, before: Inode, after: Inode, links: { before: Groups; after: Groups }): boolean {
  if (isDirectory(before)) return true
  if (before.nlink !== after.nlink) return false
  return (links.before.get(before) ?? path) === (links.after.get(after) ?? path)
}

/** Returns the first name of every inode that has further ones. */
export function groupsOf(root: Directory): Map<Inode, string> {
  const groups = new Map<Inode, string>()
  for (const { path, child } of namesBelow(root))
    if (!isHardLink(child) && !isDirectory(child) && child.nlink > 1) groups.set(child, path)
  return groups
}
