import { statSync } from 'node:fs'
import { OnefoldError } from '../../error.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { attempt } from './file-set.ts'
import type { SourceOptions } from '../source-options.ts'
import { plainSource } from './plain-source.ts'
import type { Source } from '../source.ts'
import { inodeKey, walkTree } from '../../scan/walk-tree.ts'
import { type TarName, type TreeWalk, readWalked } from './walked-tar.ts'

/** A directory as a plain tree. */
export async function openRootfs(name: string, path: string, options: SourceOptions): Promise<Source> {
  const root = await directoryRoot(path)
  const walk: TreeWalk = function* (onWarning, seen): Generator<TarName> {
    for (const found of walkTree(root, { omit: inodesOf(options.omit ?? []), onWarning })) {
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

/** The path of a directory as walkTree() takes it. */
export async function directoryRoot(path: string): Promise<string> {
  const stats = await attempt(path, async () => statSync(path))
  if (!stats.isDirectory()) throw new OnefoldError('BAD_FORMAT', `Cannot read "${path}" as a tree: it is no directory`)
  return pathFromUtf8(path.replace(/\/+$/, ''))
}

/** By device and inode, those of the paths that there are. */
export function inodesOf(paths: readonly string[]): Set<string> {
  const keys = paths.map((path) => statSync(path, { bigint: true, throwIfNoEntry: false }))
  return new Set(keys.flatMap((stats) => (stats === undefined ? [] : [inodeKey(stats)])))
}
