import { encodeXattr } from '../erofs/encode-xattr.ts'
import { filterBit, splitName } from '../erofs/xattr-names.ts'
import { metacopyName, redirectName } from './overlay-xattrs.ts'

/** An extended attribute of an image that is to be written, name and value: one for all inodes that have it. */
export interface ImageXattr {
  readonly name: string
  readonly value: Uint8Array
  readonly encoded: Uint8Array
  readonly filterBit: number
  /** How many inodes have it. */
  uses: number
  /** Offset in the shared table, or -1. */
  offset: number
}

export function newXattr(name: string, value: Uint8Array): ImageXattr {
  return {
    name,
    value,
    encoded: encodeXattr(name, value),
    filterBit: filterBit(splitName(name)),
    uses: 0,
    offset: -1,
  }
}

/** Markers that stand for the attributes that a file's content gives it. */
export const metacopyMarker = newXattr(metacopyName, new Uint8Array(0))
export const redirectMarker = newXattr(redirectName, new Uint8Array(0))
