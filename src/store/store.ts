import type { Descriptor } from '../formats/entry.ts'
import { openFolder } from './folder.ts'
import { defaultRoot } from './layout.ts'
import { listRefs, readRef } from './refs.ts'
import { Transaction, beginTransaction } from './transaction.ts'

export interface OpenOptions {
  /** Make the store when there is none; default true. */
  readonly create?: boolean
}

/** Opens the store at `root`; without one, /var/lib/onefold for root and $XDG_DATA_HOME/onefold for others. */
export async function openStore(root: string = defaultRoot(), options: OpenOptions = {}): Promise<Store> {
  return new Store(openFolder(root, options.create ?? true))
}

export class Store implements AsyncDisposable {
  /** Absolute. */
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  async begin(): Promise<Transaction> {
    return beginTransaction(this.root)
  }

  ref(name: string): Descriptor | undefined {
    return readRef(this.root, name)
  }

  refs(): string[] {
    return listRefs(this.root)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
