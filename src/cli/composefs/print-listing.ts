/** Prints files as `composefs-info` does: a line for people, or one of composefs-dump(5). */
import type { DumpBytes } from '../../formats/dump/dump-bytes.ts'
import { escape } from '../../formats/dump/write-dump.ts'
import type { XattrName } from '../../formats/erofs/erofs-xattr-reader.ts'
import type { Span } from '../../formats/erofs/erofs-volume.ts'
import { unescapedName } from '../../formats/composefs/overlay-xattrs.ts'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../formats/tree.ts'
import type { ImageNode } from '../../formats/composefs/image-nodes.ts'

/** The line of a file: `/dir/` and a tab, `/link -> target`, `/file @ object`; undefined for the root, which is not listed. */
export function listingLine(node: ImageNode): string | undefined {
  if (node.pathEnd === 0) return undefined
  const path = node.path.toString('latin1', 0, node.pathEnd)
  return `${escapeButBlanks(path)}${node.linkTo === undefined ? describe(node) : ''}\n`
}

function describe(node: ImageNode): string {
  switch (node.mode & S_IFMT) {
    case S_IFDIR:
      return '/\t'
    case S_IFLNK:
      return `\t-> ${escape(joined(node.image, node.data ?? []).toString('latin1'))}`
    case S_IFREG:
      return node.redirect === undefined ? '' : `\t@ ${escape(node.image.toString('latin1', ...node.redirect))}`
    default:
      return ''
  }
}

function escapeButBlanks(text: string): string {
  return text
    .split(' ')
    .map((part) => escape(part))
    .join(' ')
}

const [BLANK, NEWLINE, MINUS, DOT, AT] = [0x20, 0x0a, 0x2d, 0x2e, 0x40]

export function writeDumpLine(node: ImageNode, out: DumpBytes): void {
  const { inode } = node
  if (node.pathEnd === 0) out.text('/')
  else out.escaped(node.path, 0, node.pathEnd)
  out.byte(BLANK)
  out.decimal(inode.size)
  out.byte(BLANK)
  if (node.linkTo !== undefined) out.byte(AT)
  out.octal(node.mode)
  for (const value of [inode.nlink, inode.uid, inode.gid, node.rdev, inode.mtime]) {
    out.byte(BLANK)
    out.decimal(value)
  }
  out.byte(DOT)
  out.decimal(inode.mtimeNsec)
  out.byte(BLANK)
  writePayload(node, out)
  out.byte(BLANK)
  writeSpans(node.image, (node.mode & S_IFMT) === S_IFREG ? node.data : undefined, out)
  out.byte(BLANK)
  if (node.digestAt < 0) out.byte(MINUS)
  else out.hex(node.image, node.digestAt, node.digestAt + 32)
  writeXattrs(node, out)
  out.byte(NEWLINE)
}

function writePayload({ image, mode, linkTo, redirect, data }: ImageNode, out: DumpBytes): void {
  if (linkTo !== undefined) out.optional(linkTo, 0, linkTo.length)
  else if (redirect !== undefined) out.optional(image, ...redirect)
  else writeSpans(image, (mode & S_IFMT) === S_IFLNK ? data : undefined, out)
}

/** Writes stretches of the image as one text; there is hardly ever more than one. */
function writeSpans(image: Buffer, spans: readonly Span[] | undefined, out: DumpBytes): void {
  const [first] = spans ?? []
  if (spans === undefined || first === undefined) out.byte(MINUS)
  else if (spans.length === 1) out.optional(image, ...first)
  else for (const [from, to] of spans) out.escaped(image, from, to)
}

/** Writes the inode's own attributes before those it shares with others, which is the order composefs finds them in. */
function writeXattrs(node: ImageNode, out: DumpBytes): void {
  const { names, sharedAt, count } = node.xattrs
  for (const isShared of [false, true])
    for (let i = 0; i < count; i++) {
      const name = names[i] as XattrName
      if ((sharedAt[i] as number) >= 0 !== isShared || !node.isShown(i)) continue
      out.byte(BLANK)
      out.text(escape(unescapedName(name.text), true))
      out.text('=')
      out.escaped(node.image, node.xattrs.valueAt[i] as number, node.xattrs.valueEnd[i] as number, true)
    }
}

function joined(image: Buffer, spans: readonly Span[]): Buffer {
  return Buffer.concat(spans.map(([from, to]) => image.subarray(from, to)))
}
