import { statSync } from 'node:fs'
import { OnefoldError } from '../../error.ts'
import { StatRecord } from '../../linux/stat.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { attempt } from './file-set.ts'
import type { SourceOptions } from '../source-options.ts'
import { plainSource } from './plain-source.ts'
import type { Source } from '../source.ts'
import { walkEntries } from '../../scan/walk-entries.ts'
import { type TarName, type TreeWalk, readWalked } from './walked-tar.ts'

/** Opens a directory as a plain tree. */
export async function openRootfs(name: string, path: string, options: SourceOptions): Promise<Source> {
  const root = await directoryRoot(path)
  const walk: TreeWalk = function* (onWarning, seen): Generator<TarName> {
    for (const found of walkEntries(root, { omit: inodesOf(options.omit ?? []), onWarning, sockets: 'keep' })) {
      seen(found)
      yield found
    }
  }
  const { onWarning, platform } = options
  return plainSource({
    name,
    platform,
    read: ({ signal }) => readWalked(root, walk, { signal, onWarning }),
    async close() {},
  })
}

/** Returns the path of a directory as walkTree() takes it. */
export async function directoryRoot(path: string): Promise<string> {
  const stats = await attempt(path, async () => statSync(path))
  if (!stats.isDirectory()) throw new OnefoldError('BAD_FORMAT', `Cannot read "${path}" as a tree: it is no directory`)
  return pathFromUtf8(path.replace(/(?<=.)\/+$/, ''))
}

/** Returns the keys, by device and inode, of the paths that exist. */
export function inodesOf(paths: readonly string[]): Set<string> {
  const stat = new StatRecord()
  return new Set(paths.flatMap((path) => (stat.readPath(pathFromUtf8(path)) ? [stat.identity] : [])))
}
