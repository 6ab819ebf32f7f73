import type { VerityDigest } from '../../../digest.ts'
import { placeOf } from '../../../formats/composefs/external-content.ts'
import { openErofs } from '../../../formats/composefs/image-view.ts'
import { sizeOf } from '../../../formats/entry.ts'
import { verityDigest } from '../../../formats/fsverity/verity-digest.ts'
import { type Directory, inodeOf, isHardLink, namesBelow } from '../../../formats/tree.ts'
import { pathFromUtf8 } from '../../../paths.ts'
import { statObject } from '../../composefs/stat-object.ts'

/** An image and its contents, in numbers. */
export interface ImageDescription {
  /** The image's fs-verity digest, which is its name. */
  readonly digest: VerityDigest
  /** Version of the composefs format; null for another EROFS image. */
  readonly format: number | null
  readonly bytes: number
  /** Number of inodes in the tree. */
  readonly inodes: number
  /** Number of names in the tree, without the root's. */
  readonly names: number
  /** Number of distinct objects that the image needs. */
  readonly objects: number
  /** Total size of those objects, in bytes. */
  readonly objectBytes: number
}

/** Describes an image; `tree` is what its bytes were read as. */
export function describeImage(bytes: Uint8Array, tree: Directory): ImageDescription {
  let names = 0
  let inodes = 1
  for (const { child } of namesBelow(tree)) {
    names++
    if (!isHardLink(child)) inodes++
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

/** The size of each object by its path below the object directory, in no order. */
export function objectsOf(tree: Directory): Map<string, number> {
  const objects = new Map<string, number>()
  for (const { child } of namesBelow(tree)) {
    const { content } = inodeOf(child)
    const place = placeOf(content)
    if (place !== '') objects.set(place, sizeOf(content))
  }
  return objects
}

/** Tells whether an object is there, with its size. */
export function isPresent(directory: string, place: string, size: number): boolean {
  const stats = statObject(pathFromUtf8(directory), place)
  return stats !== undefined && stats.isFile() && stats.size === size
}
