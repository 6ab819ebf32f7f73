/**
 * Files that a garbage collection has taken away and not deleted yet: they lie directly in `tmp/`, a few at a time, so that a
 * collection needs no folder of its own and works where not a block is free.
 *
 *     tmp/aside-<kind>-<digest>      kind: records, images, layers, blobs, objects
 *
 * A collection that was killed leaves at most one handful. Nothing below them is gone yet, so they get their names back.
 */
import { existsSync, renameSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf } from '../../error.ts'
import { fileError, listFolder, makeFolder } from '../store-files.ts'
import { type DigestFolder, digestPath, isDigestOf, tmpFolder } from '../store-layout.ts'

/** Kinds of files in the order in which they are put aside: what needs comes before what is needed. */
export const kinds = ['records', 'images', 'layers', 'blobs', 'objects'] as const

export function asidePath(root: string, kind: DigestFolder, digest: string): string {
  return `${root}/${tmpFolder}/aside-${kind}-${digest}`
}

/** Lists what lies aside, from the bottom up. */
export function listAside(root: string): { readonly kind: DigestFolder; readonly digest: string }[] {
  const names = listFolder(`${root}/${tmpFolder}`)
  return kinds.toReversed().flatMap((kind) => {
    const digests = names.filter((name) => name.startsWith(`aside-${kind}-`)).map((name) => name.slice(kind.length + 7))
    return digests.filter((digest) => isDigestOf(kind, digest)).map((digest) => ({ kind, digest }))
  })
}

/** Gives everything aside its name back. Only for who holds the lock of collectors. */
export function nameAgain(root: string): void {
  for (const { kind, digest } of listAside(root)) putBack(root, kind, digest)
}

/** Gives a file its name back. What has got a new file under its name meanwhile keeps that. */
export function putBack(root: string, kind: DigestFolder, digest: string): void {
  const [from, to] = [asidePath(root, kind, digest), digestPath(root, kind, digest)]
  try {
    if (existsSync(to)) return unlinkSync(from)
    if (!existsSync(dirname(to))) makeFolder(dirname(to))
    renameSync(from, to)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fileError('put back', to, error)
  }
}
