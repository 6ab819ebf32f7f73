import { type Stats, statSync } from 'node:fs'
import type { VerityDigest } from '../../digest.ts'
import { errnoOf } from '../../error.ts'
import { type Content, sizeOf } from '../../formats/entry.ts'
import { openErofs } from '../../formats/composefs/read-image.ts'
import { placeOf } from '../../formats/composefs/external.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { type Directory, isDirectory, isHardLink } from '../../formats/tree.ts'
import { pathFromUtf8, pathToBytes } from '../../paths.ts'

/** What an image is and holds, in numbers. */
export interface ImageDescription {
  /** fs-verity digest of the image: its name. */
  readonly digest: VerityDigest
  /** Version of the composefs format; null for another EROFS image. */
  readonly format: number | null
  readonly bytes: number
  /** Of the tree: inodes, and names without the root's. */
  readonly inodes: number
  readonly names: number
  /** Distinct objects the image needs, and what they weigh. */
  readonly objects: number
  readonly objectBytes: number
}

/** `tree` is what the image's bytes were read as. */
export function describeImage(bytes: Uint8Array, tree: Directory): ImageDescription {
  let names = 0
  let inodes = 1
  for (const isFurther of walk(tree, ({ furtherName }) => furtherName)) {
    names++
    if (!isFurther) inodes++
  }
  const objects = objectsOf(tree)
  return {
    digest: verityDigest(bytes),
    format: openErofs(bytes).version ?? null,
    bytes: bytes.length,
    inodes,
    names,
    objects: objects.size,
    objectBytes: objects.values().reduce((sum, size) => sum + size, 0),
  }
}

/** Size by path below the object directory, in no order. */
export function objectsOf(tree: Directory): Map<string, number> {
  const objects = new Map<string, number>()
  for (const content of walk(tree, ({ content: each }) => each)) {
    const place = placeOf(content)
    if (place !== '') objects.set(place, sizeOf(content))
  }
  return objects
}

/** Whether an object is there, with its size. A path that leads out of the directory is never looked up. */
export function isPresent(directory: string, place: string, size: number): boolean {
  if (place.split('/').includes('..')) return false
  const stats = statOf(`${pathFromUtf8(directory)}/${place}`)
  return stats !== undefined && stats.isFile() && stats.size === size
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(pathToBytes(path), { throwIfNoEntry: false })
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return undefined
  }
}

interface Visited {
  readonly furtherName: boolean
  readonly content: Content
}

function* walk<T>(root: Directory, map: (visited: Visited) => T): Generator<T> {
  const pending = [root]
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    for (const child of next.children.values())
      if (isHardLink(child)) yield map({ furtherName: true, content: child.linkTo.content })
      else {
        yield map({ furtherName: false, content: child.content })
        if (isDirectory(child)) pending.push(child)
      }
}
