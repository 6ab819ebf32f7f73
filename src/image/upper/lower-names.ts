import type { Entry } from '../../formats/entry.ts'
import { nodeTypeOf } from '../../formats/node-type.ts'
import { quoteName } from '../../formats/path.ts'
import { type Inode, isDirectory, sortedNames } from '../../formats/tree.ts'
import { entryOf } from '../tree-entries.ts'
import { childOf, join, checkLayerName } from '../layer-names.ts'
import { layerXattrs } from './upper-xattrs.ts'

export interface LowerNamesOptions {
  readonly keepSelinux: boolean
  readonly onWarning?: ((message: string) => void) | undefined
}

/** Repeats parts of the image below in a layer: the names in a directory that shows in another place now. */
export class LowerNames {
  readonly #options: LowerNamesOptions
  /** First names, in this layer, of files that have several. */
  readonly #firstNames = new Map<Inode, string>()

  constructor(options: LowerNamesOptions) {
    this.#options = options
  }

  /** Yields an inode of the image as `path`, and all that is below it. */
  *all(path: string, inode: Inode | undefined): Generator<Entry> {
    const pending: [path: string, inode: Inode | undefined][] = [[path, inode]]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const [at, found] = next
      if (found === undefined) continue
      if (nodeTypeOf(found) === 'socket') {
        this.#options.onWarning?.(`${quoteName(at)}: a socket cannot be in a layer; it is left out`)
        continue
      }
      const entry = entryOf(at, found, this.#firstName(found, at))
      checkLayerName(entry, at.slice(at.lastIndexOf('/') + 1))
      yield { ...entry, xattrs: layerXattrs(entry, { prefix: undefined, keepSelinux: this.#options.keepSelinux }) }
      if (!isDirectory(found)) continue
      for (const child of sortedNames(found).reverse()) pending.push([join(at, child), childOf(found, child)])
    }
  }

  /** Returns the first name of an inode that has several; undefined for the first name itself. */
  #firstName(inode: Inode, path: string): string | undefined {
    if (isDirectory(inode) || inode.nlink < 2) return undefined
    const first = this.#firstNames.get(inode)
    if (first === undefined) this.#firstNames.set(inode, path)
    return first
  }
}
