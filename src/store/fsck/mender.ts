import { rmSync } from 'node:fs'
import type { Digest } from '../../digest.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { writeRef } from '../records/refs.ts'
import { replaceFile } from '../store-files.ts'
import { blobPath, indexFile } from '../store-layout.ts'
import { lockRefs, lockStore } from '../store-lock.ts'
import { type CheckResult, checkSince } from './check-store.ts'
import { type CheckedState, temporaryFile } from './checked.ts'
import type { Damage, FsckOptions } from './fsck-report.ts'
import { Inventory, remainsOf } from './inventory.ts'
import { mendMode } from './mend-mode.ts'
import { quarantine } from './quarantine.ts'

/**
 * The part of a repair that is neither checking nor pulling: it mends with what is in the store, or with what was
 * fetched for it. Whether that was worth anything, the next check says.
 */
export class Mender {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  /**
   * Checks the store, as Store.fsck() does, for callers that check twice.
   * @param before what an earlier check has seen, in place of what is noted down in the store
   */
  async check(options: FsckOptions, before?: CheckedState): Promise<CheckResult> {
    return await checkSince(this.#root, options, before)
  }

  /** Lists what there is in the store to be named. */
  takeStock(): Inventory {
    return new Inventory(this.#root)
  }

  /**
   * Gives what has the right bytes the right mode and owner, and seals it where the store requires that. Returns
   * whether it did.
   */
  async mendMode(damage: Damage): Promise<boolean> {
    return await mendMode(this.#root, damage)
  }

  /** Writes a document that a name needs over the damaged one, in one step. `bytes` have been checked. */
  async replaceBlob(digest: Digest, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    using _lock = await lockStore(this.#root, 'shared', signal)
    replaceFile(blobPath(this.#root, digest), bytes, temporaryFile(this.#root))
  }

  /** Sets a name whose ref was damaged. */
  async replaceRef(name: string, top: Descriptor, signal: AbortSignal | undefined): Promise<void> {
    using _store = await lockStore(this.#root, 'shared', signal)
    using _refs = await lockRefs(this.#root, signal)
    writeRef(this.#root, name, top)
  }

  /** Takes records that nobody misses away from their names. */
  async dropRecords(manifests: Iterable<Digest>, signal: AbortSignal | undefined): Promise<void> {
    const files = Array.from(manifests, (manifest) => `records/${manifest}`)
    await quarantine(this.#root, files, signal)
  }

  /** The text that is left of a damaged record; empty when it is none, or cannot be read. */
  remainsOfRecord(manifest: Digest): string {
    return remainsOf(this.#root, `records/${manifest}`)
  }

  /** Removes the index, which is made again by whoever needs it next. */
  removeIndex(): void {
    rmSync(`${this.#root}/${indexFile}`, { force: true })
  }
}
