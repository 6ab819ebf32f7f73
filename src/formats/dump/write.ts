/**
 * Writes a tree as composefs-dump(5), in the words of `composefs-info dump`: depth-first, children in byte order of name.
 *
 * The bytes are those that `composefs-info dump` prints for the tree's image, sizes of directories and order of xattrs included, with
 * two exceptions for the better: a hard link keeps its primary name wherever that stands, and the marks that
 * an image puts on a directory with whiteouts are left out. Parsing it gives the same tree, hence the same image.
 */
import { type Inode, S_IFMT, S_IFREG, isDirectory } from '../tree.ts'
import type { Directory } from '../tree.ts'
import { sizeOf } from '../entry.ts'
import { placeOf } from '../erofs/external.ts'
import { type ErofsOptions, type ErofsPlan, planErofs } from '../erofs/write.ts'
import { type AttributeSet, metacopyMarker, redirectMarker } from '../erofs/xattr-table.ts'
import { escapedPrefix, overlayPrefix } from '../erofs/xattrs.ts'

const chunkSize = 1 << 16

/** In chunks of about 64 KiB. Throws as planErofs does. */
export function* writeDump(root: Directory, options: ErofsOptions = {}): Generator<Uint8Array> {
  let lines = ''
  for (const line of dumpLines(planErofs(root, options))) {
    lines += line
    if (lines.length < chunkSize) continue
    yield Buffer.from(lines, 'latin1')
    lines = ''
  }
  if (lines !== '') yield Buffer.from(lines, 'latin1')
}

/** A directory whose entries are being written. */
interface OpenDirectory {
  readonly number: number
  /** Escaped, '' for the root. */
  readonly path: string
  entry: number
}

function* dumpLines(plan: ErofsPlan): Generator<string> {
  const { names, targets, entryOf, firstEntry, lastEntry, inodes } = plan.listing
  yield line(plan, 0, '/', '', undefined)
  const stack: OpenDirectory[] = [{ number: 0, path: '', entry: firstEntry[0] as number }]
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (top.entry === lastEntry[top.number]) {
      stack.pop()
      continue
    }
    const entry = top.entry++
    const name = names[entry] as string
    if (name === '.' || name === '..' || isStub(plan, top.number, name)) continue
    const path = `${top.path}/${escape(name)}`
    const number = targets[entry] as number
    if (entryOf[number] !== entry) yield line(plan, number, path, '@', primaryPath(plan, number))
    else {
      yield line(plan, number, path, '', undefined)
      if (isDirectory(inodes[number] as Inode)) stack.push({ number, path, entry: firstEntry[number] as number })
    }
  }
}

function isStub({ listing }: ErofsPlan, directory: number, name: string): boolean {
  return directory === 0 && listing.inodes[0]?.children?.has(name) === false
}

function primaryPath({ listing }: ErofsPlan, number: number): string {
  let path = ''
  for (let at = number; at !== 0; at = listing.parents[at] as number)
    path = `/${listing.names[listing.entryOf[at] as number] as string}${path}`
  return path
}

function line(plan: ErofsPlan, number: number, path: string, mark: '' | '@', linkTarget: string | undefined): string {
  const inode = plan.listing.inodes[number] as Inode
  const { content, target } = inode
  const isFile = (inode.mode & S_IFMT) === S_IFREG
  const fields = [
    path,
    sizeField(plan, number, inode),
    mark + inode.mode.toString(8),
    plan.listing.nlinks[number] as number,
    inode.uid,
    inode.gid,
    inode.rdev,
    `${inode.mtime}.${inode.mtimeNsec}`,
    optional(linkTarget ?? (isFile ? placeOf(content) : target)),
    isFile && content.kind === 'inline' ? escapeBytes(content.bytes) : '-',
    isFile && content.kind === 'object' ? content.digest : '-',
  ]
  return `${fields.join(' ')}${xattrFields(plan, number, inode)}\n`
}

function sizeField({ layout }: ErofsPlan, number: number, inode: Inode): number {
  return isDirectory(inode) || inode.target !== '' ? (layout.sizes[number] as number) : sizeOf(inode.content)
}

/** What is stored with the inode comes before what is shared, as one finds them in the image. */
function xattrFields({ xattrs }: ErofsPlan, number: number, inode: Inode): string {
  const { attributes } = xattrs.sets[number] as AttributeSet
  let local = ''
  let shared = ''
  for (const attribute of attributes) {
    const { name } = attribute
    if (attribute === metacopyMarker || attribute === redirectMarker) continue
    const escaped = name.startsWith(escapedPrefix)
    const userName = escaped ? overlayPrefix + name.slice(escapedPrefix.length) : name
    const value = name.startsWith(overlayPrefix) && !escaped ? undefined : inode.xattrs.get(userName)
    if (value === undefined) continue
    const field = ` ${escape(userName, true)}=${escapeBytes(value, true)}`
    if (xattrs.sharedOf(number, attribute) === undefined) local += field
    else shared += field
  }
  return local + shared
}

/** A field that may be unset. */
export function optional(text: string): string {
  if (text === '') return '-'
  return text === '-' ? '\\x2d' : escape(text)
}

/** Bytes as CONTENT, or with `equals` as the value of an xattr. */
export function escapeBytes(bytes: Uint8Array, equals = false): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  return text === '-' && !equals ? '\\x2d' : escape(text, equals)
}

const special: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Everything but printable ASCII; in xattrs the equals sign too. */
export function escape(text: string, equals = false): string {
  return text.replace(equals ? /[^!-<>-[\]-~]/g : /[^!-[\]-~]/g, (char) => {
    return special[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
