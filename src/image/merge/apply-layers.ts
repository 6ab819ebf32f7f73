import type { LayerKind } from '../../formats/layer-kind.ts'
import type { Entry } from '../../formats/entry.ts'
import { Layer } from './merge-layer.ts'
import { groupsOf } from '../diff-trees.ts'
import { type Directory, type Inode, emptyDirectory, inodeOf, isDirectory } from '../../formats/tree.ts'

export interface MergeOptions {
  /** Keeps `security.selinux`, which names labels of the policy the image was built under. */
  readonly keepSelinux?: boolean
}

/**
 * Merges layers, bottom first, into one tree by the rules of docs/tree.md. Time is linear in the entries; memory is
 * that of the tree and of one layer.
 */
export class Merge {
  readonly #root: Directory
  readonly #options: MergeOptions
  readonly #linked: Set<Inode>

  /** @param lower a finished tree to begin with, which is changed in place; an empty one by default */
  constructor(options: MergeOptions = {}, lower?: Directory) {
    this.#root = lower ?? emptyDirectory()
    this.#options = options
    this.#linked = new Set(lower === undefined ? [] : groupsOf(lower).keys())
  }

  /** Lays one layer over the tree. Throws BAD_FORMAT, and has then changed nothing. */
  apply(entries: Iterable<Entry>, kind: LayerKind): void {
    const layer = new Layer(this.#root, kind, this.#options)
    for (const entry of entries) layer.add(entry)
    layer.settle()
    for (const inode of layer.linked) this.#linked.add(inode)
  }

  /** Returns the tree in its canonical form: link counts are right, and every inode stands under its first name. */
  finish(): Directory {
    settleLinks(this.#root, this.#linked)
    return this.#root
  }
}

interface Name {
  /** Components joined by NUL, so that keys compare in depth-first byte order. */
  readonly key: string
  readonly name: string
  readonly directory: Directory
}

/**
 * Counts links and puts every inode under its first name. Only inodes in `linked` can have more than one name;
 * everything else costs one visit.
 */
export function settleLinks(root: Directory, linked: ReadonlySet<Inode>): void {
  const names = new Map<Inode, Name[]>()
  const pending: [directory: Directory, key: string][] = [[root, '']]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [directory, prefix] = next
    directory.nlink = 2
    for (const [name, child] of directory.children) {
      const inode = inodeOf(child)
      if (isDirectory(inode)) {
        directory.nlink++
        pending.push([inode, `${prefix}${name}\0`])
      } else if (linked.has(inode)) {
        const all = names.get(inode) ?? []
        all.push({ key: prefix + name, name, directory })
        names.set(inode, all)
      } else inode.nlink = 1
    }
  }
  for (const [inode, all] of names) shareInode(inode, all)
}

function shareInode(inode: Inode, names: readonly Name[]): void {
  const first = names.reduce((least, other) => (other.key < least.key ? other : least))
  inode.nlink = names.length
  for (const each of names) each.directory.children.set(each.name, each === first ? inode : { linkTo: inode })
}
