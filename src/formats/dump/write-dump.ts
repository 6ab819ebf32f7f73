/**
 * Writes a tree as composefs-dump(5), in the words of `composefs-info dump`: depth-first, children in byte order of
 * name.
 *
 * The bytes are those that `composefs-info dump` prints for the tree's image, sizes of directories and order of xattrs
 * included, with two exceptions for the better: a hard link keeps its primary name wherever that stands, and the marks
 * that an image puts on a directory with whiteouts are left out. Parsing it gives the same tree, hence the same image.
 */
import { placeOf } from '../composefs/external-content.ts'
import { hasDigest } from '../composefs/flat-external.ts'
import { metacopyMarker, redirectMarker } from '../composefs/image-xattr.ts'
import { isOverlayOrder, unescapedName } from '../composefs/overlay-xattrs.ts'
import { type ErofsOptions, type ErofsPlan, planErofs } from '../composefs/plan-image.ts'
import { contentAt } from '../flat/flatten.ts'
import { type FlatTree, field, floatField, inodeFloats, inodeWords, kind } from '../flat/flat-tree.ts'
import { type Directory, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'

const chunkSize = 1 << 16

/** Yields the dump in chunks of about 64 KiB. Throws as planErofs does. */
export function* writeDump(root: Directory | FlatTree, options: ErofsOptions = {}): Generator<Uint8Array> {
  let lines = ''
  for (const line of dumpLines(planErofs(root, options))) {
    lines += line
    if (lines.length < chunkSize) continue
    yield Buffer.from(lines, 'latin1')
    lines = ''
  }
  if (lines !== '') yield Buffer.from(lines, 'latin1')
}

/** Directory whose entries are being written. */
interface OpenDirectory {
  readonly number: number
  /** Escaped path, '' for the root. */
  readonly path: string
  entry: number
}

function* dumpLines(plan: ErofsPlan): Generator<string> {
  const { targets, entryOf, firstEntry, lastEntry, modes, ids, stub } = plan.listing
  yield line(plan, 0, '/', '', undefined)
  const stack: OpenDirectory[] = [{ number: 0, path: '', entry: firstEntry[0] as number }]
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (top.entry === lastEntry[top.number]) {
      stack.pop()
      continue
    }
    const entry = top.entry++
    const name = nameOf(plan, entry)
    const number = targets[entry] as number
    if (name === '.' || name === '..' || ids[number] === stub) continue
    const path = `${top.path}/${escape(name)}`
    if (entryOf[number] !== entry) yield line(plan, number, path, '@', primaryPath(plan, number))
    else {
      yield line(plan, number, path, '', undefined)
      if (((modes[number] as number) & S_IFMT) === S_IFDIR)
        stack.push({ number, path, entry: firstEntry[number] as number })
    }
  }
}

function nameOf({ listing: { tree, nameAt, nameLength } }: ErofsPlan, entry: number): string {
  const at = nameAt[entry] as number
  return tree.heap.toString('latin1', at, at + (nameLength[entry] as number))
}

function primaryPath(plan: ErofsPlan, number: number): string {
  let path = ''
  for (let at = number; at !== 0; at = plan.listing.parents[at] as number)
    path = `/${nameOf(plan, plan.listing.entryOf[at] as number)}${path}`
  return path
}

function line(plan: ErofsPlan, number: number, path: string, mark: '' | '@', linkTarget: string | undefined): string {
  const { tree, ids, nlinks } = plan.listing
  const inode = ids[number] as number
  const at = inode * inodeWords
  const { words, floats } = tree
  const mode = tree.mode(inode)
  const type = mode & S_IFMT
  const isInline = type === S_IFREG && words[at + field.kind] === kind.inline
  const isElsewhere = type === S_IFREG && (words[at + field.kind] as number) >= kind.object
  const payload = type === S_IFLNK ? tree.text(inode) : isElsewhere ? placeOf(contentAt(tree, inode)) : ''
  const fields = [
    path,
    type === S_IFDIR || type === S_IFLNK ? (plan.layout.sizes[number] as number) : tree.size(inode),
    mark + mode.toString(8),
    nlinks[number] as number,
    words[at + field.uid] as number,
    words[at + field.gid] as number,
    words[at + field.rdev] as number,
    `${floats[inode * inodeFloats + floatField.mtime] as number}.${words[at + field.mtimeNsec] as number}`,
    optional(linkTarget ?? payload),
    isInline ? escapeContent(tree.text(inode)) : '-',
    isElsewhere && hasDigest(tree, inode) ? tree.digest(inode) : '-',
  ]
  return `${fields.join(' ')}${xattrFields(plan, number)}\n`
}

/**
 * Returns the fields of attributes. Those stored with the inode come before those that are shared, as one finds them in
 * the image.
 */
function xattrFields({ listing: { tree, ids }, xattrs }: ErofsPlan, number: number): string {
  const own = tree.xattrs(ids[number] as number)
  if (own.size === 0) return ''
  let local = ''
  let shared = ''
  for (const attribute of xattrs.of(number).attributes) {
    const { name } = attribute
    if (attribute === metacopyMarker || attribute === redirectMarker) continue
    const userName = unescapedName(name)
    const value = isOverlayOrder(name) ? undefined : own.get(userName)
    if (value === undefined) continue
    const pair = ` ${escape(userName, true)}=${escapeBytes(value, true)}`
    if (xattrs.sharedOf(number, attribute) === undefined) local += pair
    else shared += pair
  }
  return local + shared
}

/** Returns a field that may be unset. */
export function optional(text: string): string {
  return text === '' ? '-' : escapeContent(text)
}

/** Returns bytes as CONTENT, or with `equals` as the value of an xattr. */
export function escapeBytes(bytes: Uint8Array, equals = false): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  return equals ? escape(text, equals) : escapeContent(text)
}

function escapeContent(text: string): string {
  return text === '-' ? '\\x2d' : escape(text)
}

const special: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

const plain = /^[!-[\]-~]*$/
const plainXattr = /^[!-<>-[\]-~]*$/

/** Escapes everything but printable ASCII; in xattrs the equals sign too. */
export function escape(text: string, equals = false): string {
  // Nearly always there is nothing to do, and asking costs less than looking for what to replace.
  if ((equals ? plainXattr : plain).test(text)) return text
  return text.replace(equals ? /[^!-<>-[\]-~]/g : /[^!-[\]-~]/g, (char) => {
    return special[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
