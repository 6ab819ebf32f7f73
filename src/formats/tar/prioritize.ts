import type { Entry } from '../entry.ts'
import { cleanPath } from '../path.ts'

export interface Priorities {
  /** Indices of all entries: the wanted ones, then the others, both in the order they should stand in the tar. */
  readonly order: readonly number[]
  /** How many of them are wanted. */
  readonly count: number
  /** Wanted paths that no entry has. */
  readonly missing: readonly string[]
}

/**
 * Orders entries so that what is read first goes first, and a lazy pull can fetch it in one piece: the paths in the order
 * given, each after its directories and, for a hard link, after its target.
 * @param paths as seen from the root, one char per byte
 */
export function prioritize(entries: readonly Entry[], paths: readonly string[]): Priorities {
  const byPath = new Map(entries.map((entry, index) => [entry.path, index]))
  const picked = new Set<number>()
  const missing: string[] = []
  for (const path of paths) {
    const clean = cleanPath(path)
    if (byPath.has(clean)) pick(clean)
    else missing.push(path)
  }
  const rest = entries.keys().filter((index) => !picked.has(index))
  return { order: [...picked, ...rest], count: picked.size, missing }

  function pick(path: string): void {
    const wanted = [path]
    const seen = new Set(wanted)
    // Links first, then what must stand before each of them: last in, first out.
    for (let at = 0; at < wanted.length; at++)
      for (const before of needsBefore(wanted[at]!))
        if (!seen.has(before)) {
          seen.add(before)
          wanted.push(before)
        }
    for (const one of ['', ...wanted.toReversed()]) {
      const index = byPath.get(one)
      if (index !== undefined) picked.add(index)
    }
  }

  /** The target of a hard link, and all directories above, the nearest first. */
  function needsBefore(path: string): string[] {
    const before: string[] = []
    const entry = entries[byPath.get(path) ?? -1]
    if (entry?.type === 'hardlink') before.push(entry.link)
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1))
      before.push(path.slice(0, slash))
    return before
  }
}
