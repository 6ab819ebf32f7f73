import { OnefoldError } from '../error.ts'
import { quoteName } from './path.ts'
import { type Directory, type Inode, inodeOf, isDirectory } from './tree.ts'

/** Number of symlinks that Linux follows in one path. */
const symlinkMax = 40

export interface LookupOptions {
  /** Follows a symlink in the last place, as stat() does and lstat() does not; default true. */
  readonly follow?: boolean
}

export interface FoundInode<Node = Inode> {
  /** Path where the inode was found: cleaned, without symlinks in it, '' for the root. */
  readonly path: string
  readonly inode: Node
}

/**
 * Finds what a process with its root at `root` would find under `path` (latin1, leading slash or not), or undefined.
 * Symlinks are an image's own data: none leads out of the root. Throws BAD_FORMAT when there are more than 40 to
 * follow.
 */
export function lookup(root: Directory, path: string, options: LookupOptions = {}): FoundInode | undefined {
  return walkPath<Inode>(root, treeSteps, path, options)
}

/** Steps from node to node, in a tree in memory or in an image that is read only as far as it is walked. */
export interface Steps<Node> {
  isDirectory(node: Node): boolean
  /** Returns a child; called for directories only, and never for '', '.' or '..'. */
  child(directory: Node, name: string): Node | undefined
  /** Returns the target of a symlink; '' for everything else. */
  target(node: Node): string
}

const treeSteps: Steps<Inode> = {
  isDirectory,
  child: (directory, name) => {
    const child = directory.children?.get(name)
    return child === undefined ? undefined : inodeOf(child)
  },
  target: (inode) => inode.target,
}

/** Does what `lookup` does, in whatever has such steps. */
export function walkPath<Node>(
  root: Node,
  steps: Steps<Node>,
  path: string,
  options: LookupOptions = {},
): FoundInode<Node> | undefined {
  const follow = options.follow ?? true
  // The names that lead to where the walk is, and the nodes there.
  const trail: { readonly name: string; readonly node: Node }[] = []
  // Components still to walk, the next one last; a symlink's target is pushed in its place.
  const pending = reversed(path)
  for (let followed = 0, name = pending.pop(); name !== undefined; name = pending.pop()) {
    const current = trail.at(-1)?.node ?? root
    if (!steps.isDirectory(current)) return undefined
    if (name === '' || name === '.') continue
    if (name === '..') {
      trail.pop()
      continue
    }
    const node = steps.child(current, name)
    if (node === undefined) return undefined
    const target = steps.target(node)
    if (target === '' || (pending.length === 0 && !follow)) trail.push({ name, node })
    else {
      if (++followed > symlinkMax) throw tooManySymlinks(path)
      if (target.startsWith('/')) trail.length = 0
      pending.push(...reversed(target))
    }
  }
  return { path: trail.map((step) => step.name).join('/'), inode: trail.at(-1)?.node ?? root }
}

function reversed(path: string): string[] {
  return path.split('/').reverse()
}

function tooManySymlinks(path: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot find ${quoteName(path)}: more than ${symlinkMax} symlinks on the way, they may form a loop`,
  )
}
