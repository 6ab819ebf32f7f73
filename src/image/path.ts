import { OnefoldError } from '../error.ts'
import { quoteName } from '../formats/path.ts'
import { type Directory, type Inode, inodeOf, isDirectory } from './tree.ts'

/** As many symlinks as Linux follows in one path. */
const symlinkMax = 40

export interface LookupOptions {
  /** Whether a symlink in the last place is followed, as stat() does and lstat() does not; default true. */
  readonly follow?: boolean
}

export interface Found {
  /** Where the inode was found: cleaned, without symlinks in it, '' for the root. */
  readonly path: string
  readonly inode: Inode
}

/**
 * What a process with its root at `root` would find under `path` (latin1, leading slash or not), or undefined. Symlinks
 * are an image's own data: none leads out of the root. Throws BAD_FORMAT when there are more than 40 to follow.
 */
export function lookup(root: Directory, path: string, options: LookupOptions = {}): Found | undefined {
  const follow = options.follow ?? true
  const trail: Step[] = [{ name: '', inode: root }]
  // Components still to walk, the next one last; a symlink's target is pushed in its place.
  const pending = reversed(path)
  for (let followed = 0, name = pending.pop(); name !== undefined; name = pending.pop()) {
    const here = trail.at(-1)?.inode ?? root
    if (!isDirectory(here)) return undefined
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (trail.length > 1) trail.pop()
      continue
    }
    const child = here.children.get(name)
    if (child === undefined) return undefined
    const inode = inodeOf(child)
    if (inode.target === '' || (pending.length === 0 && !follow)) trail.push({ name, inode })
    else {
      if (++followed > symlinkMax) throw tooManySymlinks(path)
      if (inode.target.startsWith('/')) trail.length = 1
      pending.push(...reversed(inode.target))
    }
  }
  return {
    path: trail
      .map((step) => step.name)
      .join('/')
      .slice(1),
    inode: trail.at(-1)?.inode ?? root,
  }
}

interface Step {
  readonly name: string
  readonly inode: Inode
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
