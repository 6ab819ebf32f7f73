import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { CheckEvent, FsckOptions, Inventory, Mender, Store } from '../../store/store.ts'
import type { Digest } from '../../digest.ts'
import type { ImportLimits } from '../import/layer-job.ts'
import type { PullEvent } from '../progress.ts'
import { Origins } from './repair-origins.ts'

export interface RepairOptions extends Omit<FsckOptions, 'dryRun' | 'onProgress'> {
  /** Source to fetch from, in place of where images came from. */
  readonly from?: string | undefined
  readonly source?: SourceOptions
  readonly limits?: Partial<ImportLimits>
  readonly onProgress?: ((event: CheckEvent | PullEvent) => void) | undefined
}

export interface RepairFailure {
  /** Name, or the digest of a manifest or index. */
  readonly what: string
  readonly message: string
}

/** State that the parts of a repair share: where things are and come from, and what was tried in vain. */
export class RepairJob implements AsyncDisposable {
  readonly failures: RepairFailure[] = []
  readonly store: Store
  readonly mender: Mender
  readonly options: RepairOptions
  readonly origins: Origins
  #inventory: Inventory

  constructor(store: Store, mender: Mender, options: RepairOptions) {
    this.store = store
    this.mender = mender
    this.options = options
    this.origins = new Origins(store, options.source ?? {}, options.from)
    this.#inventory = mender.takeStock()
  }

  get inventory(): Inventory {
    return this.#inventory
  }

  /** Reads the inventory anew, after something was mended from which other things can be told. */
  takeStock(): void {
    this.#inventory = this.mender.takeStock()
  }

  get pullOptions() {
    const { limits, signal, onProgress } = this.options
    return {
      ...(limits === undefined ? {} : { limits }),
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    }
  }

  /** Reads a ref; undefined when it cannot be read. */
  refOf(name: string): Descriptor | undefined {
    try {
      return this.store.ref(name)
    } catch (error) {
      if (error instanceof OnefoldError) return undefined
      throw error
    }
  }

  /** Returns the names whose ref has this digest. */
  namesOf(digest: Digest): string[] {
    return this.store.refs().filter((name) => this.refOf(name)?.digest === digest)
  }

  /** Does the work with the first place where that succeeds. */
  async fromAny(what: string, places: readonly string[], work: (origin: string) => Promise<void>): Promise<void> {
    if (places.length === 0) return this.failed(what, 'nothing tells where it came from; say so with --from')
    const messages: string[] = []
    for (const place of places) {
      try {
        return await work(place)
      } catch (error) {
        this.options.signal?.throwIfAborted()
        if (!(error instanceof OnefoldError)) throw error
        messages.push(error.message)
      }
    }
    this.failed(what, messages.join('; '))
  }

  async try(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
      this.failed(what, error.message)
    }
  }

  failed(what: string, message: string): void {
    this.failures.push({ what, message })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.origins[Symbol.asyncDispose]()
  }
}
