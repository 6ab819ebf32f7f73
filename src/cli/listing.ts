import { sizeOf } from '../formats/entry.ts'
import type { ErofsView } from '../formats/composefs/image-view.ts'
import type { FileInfo } from '../formats/composefs/inode-decoder.ts'
import type { FoundInode } from '../formats/lookup.ts'
import { type NodeType, nodeTypeOf, unpackDevice } from '../formats/node-type.ts'
import { type Directory, type InodeInfo, isDirectory } from '../formats/tree.ts'
import { walk } from '../image/tree-json.ts'
import { printableName } from './output.ts'

export interface Listed {
  /** Path from the root, which is ''. */
  readonly path: string
  readonly inode: InodeInfo
  /** First name of the inode, when this is another one and the whole tree was read. */
  readonly link: string | undefined
  /** Name as it is listed: relative to what was asked for. */
  readonly shown: string
}

/** Returns what `ls` lists for a path: the path itself when it is no directory, else what is in it. */
export function entriesIn(view: ErofsView, { path, inode }: FoundInode<FileInfo>): Listed[] {
  if (nodeTypeOf(inode) !== 'directory') return [{ path, inode, link: undefined, shown: path }]
  const prefix = path === '' ? '' : `${path}/`
  return view.list(inode).map(([name, child]) => ({ path: prefix + name, inode: child, link: undefined, shown: name }))
}

/** Returns what `ls -R` lists for a path: everything below it as well. */
export function entriesBelow(tree: Directory, found: FoundInode): Listed[] {
  const isFile = !isDirectory(found.inode)
  const prefix = found.path === '' ? '' : `${found.path}/`
  const listed: Listed[] = []
  for (const walked of walk(tree)) {
    if (isFile ? walked.path !== found.path : !walked.path.startsWith(prefix) || walked.path === '') continue
    const shown = isFile ? walked.path : walked.path.slice(prefix.length)
    listed.push({ ...walked, shown })
  }
  return listed
}

const letters: Readonly<Record<NodeType, string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  char: 'c',
  block: 'b',
  fifo: 'p',
  socket: 's',
}

/** Returns the columns of `ls -ln --full-time`: type and mode, names, owner, size or device, time, name. */
export function longColumns({ inode, shown }: Listed): string[] {
  const type = nodeTypeOf(inode)
  const device = type === 'char' || type === 'block'
  const size = device
    ? unpackDevice(inode.rdev).join(', ')
    : String(type === 'symlink' ? inode.target.length : sizeOf(inode.content))
  const name = printableName(shown)
  return [
    letters[type] + permissions(inode.mode),
    String(inode.nlink),
    String(inode.uid),
    String(inode.gid),
    size,
    formatTime(inode),
    type === 'symlink' ? `${name} -> ${printableName(inode.target)}` : name,
  ]
}

function permissions(mode: number): string {
  const triples = [6, 3, 0].map((shift) => {
    const bits = (mode >> shift) & 7
    return [bits & 4 ? 'r' : '-', bits & 2 ? 'w' : '-', bits & 1 ? 'x' : '-']
  })
  const special: readonly [bit: number, set: string][] = [
    [0o4000, 's'],
    [0o2000, 's'],
    [0o1000, 't'],
  ]
  special.forEach(([bit, letter], i) => {
    const triple = triples[i]
    if ((mode & bit) !== 0 && triple !== undefined) triple[2] = triple[2] === 'x' ? letter : letter.toUpperCase()
  })
  return triples.flat().join('')
}

/** Writes a time in UTC, whole seconds; years beyond what Date holds are shown as seconds. */
function formatTime({ mtime }: InodeInfo): string {
  const date = new Date(mtime * 1000)
  return Number.isNaN(date.getTime()) ? `@${mtime}` : date.toISOString().replace(/\.\d+Z$/, 'Z')
}
