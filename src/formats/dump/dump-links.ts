import { type Children, findName } from '../flat/flat-children.ts'
import { type FlatTree, furtherName, nameField, nameWords } from '../flat/flat-tree.ts'
import { S_IFDIR, S_IFMT } from '../tree.ts'
import { dumpError } from './dump-line.ts'
import { canonicalPath } from './dump-path.ts'

/** Inode of a link until it is resolved: the root, to which no link can lead. */
const unresolved = 0

/** Hard links, whose targets need not precede them. */
export class PendingLinks {
  readonly #tree: FlatTree
  /** Names that are links, ascending. */
  readonly #names: number[] = []
  /** Offsets in the heap of the targets' paths. */
  readonly #targetAt: number[] = []
  readonly #targetLength: number[] = []

  constructor(tree: FlatTree) {
    this.#tree = tree
  }

  /** Adds a link; returns the id of the name, whose bytes are in the heap. */
  add(directory: number, at: number, length: number, target: string): number {
    const name = this.#tree.addName(directory, unresolved, at, length | furtherName)
    this.#names.push(name)
    this.#targetAt.push(this.#tree.addText(target))
    this.#targetLength.push(target.length)
    return name
  }

  /**
   * Gives all links their inodes.
   * @param lines numbers of the lines that the names are on, for errors
   */
  resolve(children: Children, directoryAt: (path: string) => number | undefined, lines: Uint32Array): void {
    const following = new Uint8Array(this.#names.length)
    for (let link = 0; link < this.#names.length; link++) {
      const chain: number[] = []
      let inode = this.#inodeOf(this.#names[link] as number)
      // Along a list of its own: a hostile dump may chain as many links as it has lines.
      for (let next = link; inode === unresolved;) {
        const line = lines[this.#names[next] as number] as number
        if (following[next] === 1) throw dumpError(line, 1, 'a hard link that leads to itself')
        following[next] = 1
        chain.push(next)
        const name = this.#find(next, children, directoryAt, line)
        inode = this.#inodeOf(name)
        if (inode === unresolved) next = this.#linkNamed(name)
      }
      for (const each of chain)
        this.#tree.nameWords[(this.#names[each] as number) * nameWords + nameField.inode] = inode
    }
  }

  #inodeOf(name: number): number {
    return this.#tree.nameWords[name * nameWords + nameField.inode] as number
  }

  /** Finds the name that a link's target is. */
  #find(link: number, children: Children, directoryAt: (path: string) => number | undefined, line: number): number {
    const at = this.#targetAt[link] as number
    const target = this.#tree.heap.toString('latin1', at, at + (this.#targetLength[link] as number))
    const path = canonicalPath(target)
    const slash = path.lastIndexOf('/')
    const directory = slash < 0 ? undefined : directoryAt(path.slice(0, slash))
    const name = directory === undefined ? undefined : findName(this.#tree, children, directory, path.slice(slash + 1))
    if (
      name === undefined ||
      ((this.#tree.mode(this.#inodeOf(name)) & S_IFMT) === S_IFDIR && this.#inodeOf(name) !== unresolved)
    )
      throw dumpError(line, 1, `the hard link's target ${JSON.stringify(target.slice(0, 300))} is no file of the dump`)
    return name
  }

  #linkNamed(name: number): number {
    let low = 0
    let high = this.#names.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#names[middle] as number) < name) low = middle + 1
      else high = middle
    }
    return low
  }
}
