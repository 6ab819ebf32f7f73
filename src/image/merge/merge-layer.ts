import type { LayerKind } from '../../formats/layer-kind.ts'
import { type Entry, type Xattrs, noXattrs } from '../../formats/entry.ts'
import { opaqueMarker, whiteoutPrefix } from '../../formats/oci/whiteouts.ts'
import { maxPathBytes, quoteName } from '../../formats/path.ts'
import { type Directory, type Inode, emptyDirectory, inodeOf, isDirectory } from '../../formats/tree.ts'
import { hideOwnFiles } from './hide-own-files.ts'
import { checkName, copyMetadata, newInode, refused } from './new-inode.ts'
import { keptXattrs } from './kept-xattrs.ts'

export interface LayerOptions {
  readonly keepSelinux?: boolean
}

const whiteoutMeta = '.wh..wh.'

/**
 * One layer as a tree of its own: what a layer's tar would leave in an empty directory, plus what it hides below.
 * Nothing touches the lower tree before the layer is whole, so a layer that is refused changes nothing.
 *
 * The rules, their reasons and examples are in docs/tree.md.
 */
export class Layer {
  readonly #root: Directory = emptyDirectory()
  readonly #lower: Directory
  readonly #kind: LayerKind
  readonly #options: LayerOptions
  /** Directories that exist only because something lies in them. */
  readonly #implied = new Set<Directory>([this.#root])
  readonly #opaque = new Set<Directory>()
  readonly #whiteouts = new Map<Directory, Set<string>>()
  /**
   * Files that do not show but may be the target of a hard link in the same layer: AUFS kept such files in
   * `.wh..wh.plnk`.
   */
  readonly #hidden = new Map<string, Inode>()
  readonly #linked = new Set<Inode>()
  /**
   * Path of the last parent: neighbours in a tar mostly share it. An entry put into it replaces its children, never
   * itself.
   */
  #parentPath = ''
  #parent: Directory = this.#root

  /** @param lower the tree that the layer will be laid on: hard links may reach into it */
  constructor(lower: Directory, kind: LayerKind, options: LayerOptions = {}) {
    this.#lower = lower
    this.#kind = kind
    this.#options = options
  }

  /** Adds an entry. Throws BAD_FORMAT; the layer is then unusable. */
  add(entry: Entry): void {
    const { path } = entry
    if (path.length > maxPathBytes)
      throw refused(entry, `a path has at most ${maxPathBytes} bytes, found ${path.length}`)
    if (path === '') this.#placeRoot(entry)
    else if (this.#isHidden(entry)) this.#hide(entry)
    else this.#place(entry)
  }

  /** Inodes that an entry of this layer has linked to. */
  get linked(): ReadonlySet<Inode> {
    return this.#linked
  }

  /**
   * Lays this layer over the lower tree, changing it in place. Costs time for the layer's entries, not the lower
   * tree's.
   */
  settle(): void {
    if (this.#kind === 'layer') hideOwnFiles(this.#root)
    const pending: [lower: Directory, upper: Directory][] = [[this.#lower, this.#root]]
    for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
      const [lower, upper] = pair
      if (!this.#implied.has(upper)) copyMetadata(upper, lower)
      if (this.#opaque.has(upper)) {
        lower.children = upper.children
        continue
      }
      for (const name of this.#whiteouts.get(upper) ?? []) lower.children.delete(name)
      for (const [name, child] of upper.children) {
        const covered = lower.children.get(name)
        if (isDirectory(child) && covered !== undefined && isDirectory(covered)) pending.push([covered, child])
        else lower.children.set(name, child)
      }
    }
  }

  #placeRoot(entry: Entry): void {
    if (entry.type !== 'directory') throw refused(entry, `the root of the tree cannot be a ${entry.type}`)
    this.#describe(this.#root, entry)
  }

  #place(entry: Entry): void {
    const slash = entry.path.lastIndexOf('/')
    if (slash === 0) throw refused(entry, 'a path does not begin with a slash')
    const parent = this.#directory(entry, slash < 0 ? '' : entry.path.slice(0, slash))
    const name = entry.path.slice(slash + 1)
    if (this.#kind === 'layer') {
      if (name.startsWith(whiteoutPrefix)) return this.#mark(parent, name, entry)
      if (entry.type === 'char' && entry.major === 0 && entry.minor === 0) return this.#whiteout(parent, name, entry)
    }
    checkName(name, entry)
    if (entry.type === 'directory') this.#placeDirectory(parent, name, entry)
    else parent.children.set(name, entry.type === 'hardlink' ? this.#linkTarget(entry) : this.#inode(entry))
  }

  #placeDirectory(parent: Directory, name: string, entry: Entry): void {
    const present = parent.children.get(name)
    const directory = present !== undefined && isDirectory(present) ? present : emptyDirectory()
    this.#describe(directory, entry)
    if (directory !== present) parent.children.set(name, directory)
  }

  #mark(parent: Directory, name: string, entry: Entry): void {
    if (name === opaqueMarker) this.#opaque.add(parent)
    else this.#whiteout(parent, name.slice(whiteoutPrefix.length), entry)
  }

  #whiteout(parent: Directory, name: string, entry: Entry): void {
    checkName(name, entry)
    const names = this.#whiteouts.get(parent)
    if (names === undefined) this.#whiteouts.set(parent, new Set([name]))
    else names.add(name)
  }

  /** Finds a directory of this layer, implying what is missing on the way. */
  #directory(entry: Entry, path: string): Directory {
    if (path === this.#parentPath) return this.#parent
    let directory = this.#root
    for (const name of components(path)) {
      let child = directory.children.get(name)
      if (child === undefined) {
        checkName(name, entry)
        const implied = emptyDirectory()
        this.#implied.add(implied)
        directory.children.set(name, implied)
        child = implied
      }
      if (!isDirectory(child)) throw refused(entry, `the same layer has a non-directory at ${quoteName(name)}`)
      directory = child
    }
    this.#parentPath = path
    this.#parent = directory
    return directory
  }

  /** Tells whether an entry is a marker other than the opaque one, or lies below any marker. */
  #isHidden({ path }: Entry): boolean {
    if (this.#kind === 'plain') return false
    if (!path.includes(whiteoutPrefix)) return false
    const names = path.split('/')
    const last = names.pop() ?? ''
    return (
      names.some((name) => name.startsWith(whiteoutPrefix)) || (last.startsWith(whiteoutMeta) && last !== opaqueMarker)
    )
  }

  #hide(entry: Entry): void {
    if (entry.type === 'directory') return
    this.#hidden.set(entry.path, entry.type === 'hardlink' ? this.#linkTarget(entry) : this.#inode(entry))
  }

  #linkTarget(entry: Entry): Inode {
    const { path, link } = entry
    // Whatever bears the name is removed before the link is made, as rename-free extraction does: it cannot be the target.
    const isItself = link === path || link.startsWith(`${path}/`)
    const target = isItself ? undefined : (this.#hidden.get(link) ?? this.#find(link))
    if (target === undefined) throw refused(entry, `its hard link target ${quoteName(link)} is not there`)
    if (isDirectory(target)) throw refused(entry, `its hard link target ${quoteName(link)} is a directory`)
    this.#linked.add(target)
    return target
  }

  /** Finds the inode that `path` names at this point of the layer, in it or through it. Symlinks are not followed. */
  #find(path: string): Inode | undefined {
    let own: Inode | undefined = this.#root
    let below: Inode | undefined = this.#lower
    for (const name of components(path)) {
      const upper: Directory | undefined = own !== undefined && isDirectory(own) ? own : undefined
      if (own !== undefined && upper === undefined) return undefined
      const through: Directory | undefined = below !== undefined && isDirectory(below) ? below : undefined
      const hidden = upper !== undefined && (this.#opaque.has(upper) || this.#whiteouts.get(upper)?.has(name) === true)
      own = childOf(upper, name)
      below = hidden ? undefined : childOf(through, name)
      if (own === undefined && below === undefined) return undefined
    }
    return own ?? below
  }

  #describe(directory: Directory, entry: Entry): void {
    this.#implied.delete(directory)
    copyMetadata(this.#inode(entry), directory)
  }

  #inode(entry: Entry): Inode {
    // Linux knows no permissions of a symlink and shows every one as 0777, whatever an archive says.
    return newInode(entry, entry.type === 'symlink' ? 0o777 : entry.mode, this.#xattrs(entry))
  }

  #xattrs(entry: Entry): Xattrs {
    return entry.xattrs.size === 0 ? noXattrs : keptXattrs(entry, this.#kind, this.#options.keepSelinux === true)
  }
}

function childOf(directory: Directory | undefined, name: string): Inode | undefined {
  const child = directory?.children.get(name)
  return child === undefined ? undefined : inodeOf(child)
}

function components(path: string): string[] {
  return path === '' ? [] : path.split('/')
}
