/**
 * Writes a tree as the composefs image `mkcomposefs` makes of it, byte for byte. FORMAT.md has the picture and the rules.
 *
 * Four passes: list the inodes, settle their xattrs, place everything, write it. None of them changes the tree.
 */
import { OnefoldError } from '../../error.ts'
import type { Children } from '../flat/flat-children.ts'
import { flatten } from '../flat/flatten.ts'
import { FlatTree } from '../flat/flat-tree.ts'
import type { Directory } from '../tree.ts'
import { ImageWriter } from './image-writer.ts'
import { type Layout, layOut } from './image-layout.ts'
import { type Listing, listTree } from './tree-listing.ts'
import { align, blockSize } from '../erofs/erofs-records.ts'
import { Window, windowSize } from './image-window.ts'
import { XattrTable } from './xattr-table.ts'

export interface ErofsOptions {
  /**
   * Which versions of the composefs format may be used; both default as in mkcomposefs. The lowest that can hold the tree
   * is taken: version 1 when it holds a 0:0 character device, version 0 otherwise.
   */
  readonly minVersion?: 0 | 1
  readonly maxVersion?: 0 | 1
}

/** A tree with everything decided but nothing written. */
export interface ErofsPlan {
  readonly version: 0 | 1
  readonly listing: Listing
  readonly xattrs: XattrTable
  readonly layout: Layout
}

/** Throws BAD_FORMAT for what is no tree, LIMIT for what EROFS or composefs cannot hold. */
export function planErofs(root: Directory | FlatTree, options: ErofsOptions = {}, children?: Children): ErofsPlan {
  const listing = listTree(root instanceof FlatTree ? root : flatten(root), children)
  const version = chooseVersion(listing, options)
  const xattrs = new XattrTable(listing, version)
  return { version, listing, xattrs, layout: layOut(listing, xattrs) }
}

/** The image of a tree; see planErofs for errors. */
export function writeErofs(
  root: Directory | FlatTree,
  options: ErofsOptions = {},
): { bytes: Uint8Array; version: 0 | 1 } {
  const plan = planErofs(root, options)
  const bytes = allocate(plan.layout.bytes)
  new ImageWriter(plan, new Window(bytes)).write()
  return { bytes, version: plan.version }
}

/** Hands the image on in order, in pieces that are good until the next one: no more than one is in memory. */
export function streamErofs(plan: ErofsPlan, sink: (piece: Uint8Array) => void): void {
  const window = new Window(allocate(Math.min(windowSize, plan.layout.bytes)), sink)
  new ImageWriter(plan, window).write()
  window.end(plan.layout.bytes)
}

function chooseVersion(listing: Listing, { minVersion = 0, maxVersion = 1 }: ErofsOptions): 0 | 1 {
  return minVersion === 0 && maxVersion === 1 && listing.whiteouts.size > 0 ? 1 : minVersion
}

function allocate(size: number): Uint8Array {
  try {
    return new Uint8Array(align(size, blockSize))
  } catch (cause) {
    throw new OnefoldError('LIMIT', `Cannot write image: it would take ${size} bytes of memory`, { cause })
  }
}
