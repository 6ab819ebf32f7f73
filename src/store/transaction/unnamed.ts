import { utimesSync } from 'node:fs'
import { Catalog } from '../records/catalog.ts'
import { recordPath } from '../store-layout.ts'

/**
 * Notes that the images of a name are about to lose it: their records' time says so, for a collection that spares what
 * was needed a short while ago. A record whose time cannot be changed only seems older than it is.
 */
export function noteUnnamed(root: string, name: string): void {
  const now = new Date()
  for (const { manifest } of new Catalog(root).named(name)?.records ?? []) {
    try {
      utimesSync(recordPath(root, manifest.digest), now, now)
    } catch {
      // A read-only file system, say: it stops what comes next, too.
    }
  }
}
