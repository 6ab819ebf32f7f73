/** What `composefs-info` prints of a file: a line for people, or one of composefs-dump(5). */
import { escape, escapeBytes, optional } from '../formats/dump/write.ts'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../formats/tree.ts'
import type { ImageNode } from './image-nodes.ts'

/** `/dir/` and a tab, `/link -> target`, `/file @ object`; undefined for the root, which is not listed. */
export function listingLine({ path, file, linkTo }: ImageNode): string | undefined {
  if (path === '') return undefined
  return `${escapeButBlanks(path)}${linkTo === undefined ? describe(file) : ''}\n`
}

function describe({ mode, payload }: ImageNode['file']): string {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return '/\t'
    case S_IFLNK:
      return `\t-> ${escape(payload ?? '')}`
    case S_IFREG:
      return payload === undefined ? '' : `\t@ ${escape(payload)}`
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

export function dumpLine({ path, file, linkTo }: ImageNode): string {
  const { inode } = file
  const payload = linkTo ?? file.payload
  const fields = [
    escape(path === '' ? '/' : path),
    file.size,
    `${linkTo === undefined ? '' : '@'}${file.mode.toString(8)}`,
    inode.nlink,
    inode.uid,
    inode.gid,
    file.rdev,
    `${inode.mtime}.${inode.mtimeNsec}`,
    payload === undefined ? '-' : optional(payload),
    file.content === undefined ? '-' : escapeBytes(file.content),
    file.digest ?? '-',
  ]
  const xattrs = file.xattrs.map(([name, value]) => ` ${escape(name, true)}=${escapeBytes(value, true)}`)
  return `${fields.join(' ')}${xattrs.join('')}\n`
}
