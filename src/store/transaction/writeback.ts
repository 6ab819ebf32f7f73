import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { syncfsAsync } from '../../linux/file.ts'

const pauseMs = 200

/**
 * Writes dirty pages back at intervals. It promises nothing: the commit syncs again on a descriptor of its own, which is
 * told of every error whether or not one was seen here.
 */
export class Writeback {
  readonly #fd: number
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(root: string) {
    this.#fd = openSync(root, 'r')
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    try {
      while (await this.#pause()) await syncfsAsync(this.#fd)
    } catch {
      // Commit meets the same error, and says so.
    } finally {
      closeSync(this.#fd)
    }
  }

  /** Waits for the next round; false when it is time to end. */
  async #pause(): Promise<boolean> {
    return await sleep(pauseMs, true, { signal: this.#stop.signal }).catch(() => false)
  }
}
