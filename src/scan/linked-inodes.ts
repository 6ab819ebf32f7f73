import type { StatRecord } from '../linux/stat.ts'

/** Remembers of each file with several names what was made of the first one. Directories have but one. */
export class LinkedInodes<T> {
  readonly #first = new Map<string, T>()

  /** Gives what was made of the file before; undefined when it is met for the first time, and `made` is remembered. */
  firstOf(stat: Pick<StatRecord, 'nlink' | 'identity'>, made: T): T | undefined {
    if (stat.nlink < 2) return undefined
    const { identity } = stat
    const first = this.#first.get(identity)
    if (first === undefined) this.#first.set(identity, made)
    return first
  }
}
