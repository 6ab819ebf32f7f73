import { flatten } from '../flat/flatten.ts'
import { FlatTree } from '../flat/flat-tree.ts'
import type { Children } from '../flat/flat-children.ts'
import type { Directory } from '../tree.ts'
import { type Layout, layOut } from './image-layout.ts'
import { type Listing, listTree } from './tree-listing.ts'
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

/**
 * Decides everything about the image of a tree, in three passes: lists the inodes, settles their xattrs, places everything. None
 * of them changes the tree. Throws BAD_FORMAT for what is no tree, LIMIT for what EROFS or composefs cannot hold.
 * @param children of the tree in columns, when they are known already
 */
export function planErofs(root: Directory | FlatTree, options: ErofsOptions = {}, children?: Children): ErofsPlan {
  const listing = listTree(root instanceof FlatTree ? root : flatten(root), children)
  const version = chooseVersion(listing, options)
  const xattrs = new XattrTable(listing, version)
  return { version, listing, xattrs, layout: layOut(listing, xattrs) }
}

function chooseVersion(listing: Listing, { minVersion = 0, maxVersion = 1 }: ErofsOptions): 0 | 1 {
  return minVersion === 0 && maxVersion === 1 && listing.whiteouts.size > 0 ? 1 : minVersion
}
