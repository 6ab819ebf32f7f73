import { type Xattrs, noXattrs } from '../entry.ts'
import { nodeTypeOf } from '../node-type.ts'
import { S_IFDIR } from '../tree.ts'

/** An inode of an index; several names may lead to it. */
export interface IndexInode {
  /** Type and permission bits, as in st_mode. */
  mode: number
  uid: number
  gid: number
  mtime: number
  mtimeNsec: number
  /** Number of a device in Linux's 32-bit form; else 0. */
  rdev: number
  xattrs: Xattrs
  /** Target of a symlink; else ''. */
  target: string
  /** Bytes of a file. */
  size: number
  /** First byte of a file's content in the tar. */
  contentAt: number
  /** Number of names that lead to what is no directory. */
  names: number
  /** Names in a directory; undefined for everything else. */
  readonly children: Map<string, IndexInode> | undefined
  /** Whether a directory hides all that lower layers have in it. */
  isOpaque: boolean
  /** Whether a name in a directory is a whiteout. */
  hasWhiteouts: boolean
  /** Whether the tar has no entry for a directory. */
  isImplied: boolean
}

export interface IndexDirectory extends IndexInode {
  readonly children: Map<string, IndexInode>
}

/** Facts that a superblock says and no tar does. */
export interface IndexStamp {
  /** Sixteen bytes. */
  readonly uuid: Uint8Array
  /** Seconds since 1970; inodes with this time need no room for one of their own. */
  readonly buildTime: number
}

/** The stamp of all indexes made here, so that one tar has one index. */
export const noStamp: IndexStamp = { uuid: new Uint8Array(16), buildTime: 0 }

/** Says whether overlayfs takes an inode for a whiteout. */
export function isWhiteout(inode: Pick<IndexInode, 'mode' | 'rdev'>): boolean {
  return nodeTypeOf(inode) === 'char' && inode.rdev === 0
}

export function isDirectory(inode: IndexInode): inode is IndexDirectory {
  return inode.children !== undefined
}

export function newInode(facts: Partial<IndexInode>): IndexInode {
  return {
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNsec: 0,
    rdev: 0,
    xattrs: noXattrs,
    target: '',
    size: 0,
    contentAt: 0,
    names: 0,
    children: undefined,
    isOpaque: false,
    hasWhiteouts: false,
    isImplied: false,
    ...facts,
  }
}

function newDirectory(facts: Partial<IndexInode>): IndexDirectory {
  return { ...newInode({ ...facts, isImplied: true }), children: new Map() }
}

/** Permissions of a root that no entry is for. */
export const impliedRootMode = 0o777

/** Makes the root as mkfs.erofs has it before an entry says otherwise. */
export function impliedRoot({ buildTime }: IndexStamp): IndexDirectory {
  return newDirectory({ mode: S_IFDIR | impliedRootMode, mtime: buildTime })
}

/** Makes a directory that no entry is for: with its parent's owner and time as they are by then, and as a rule mode 0755. */
export function impliedIn({ mode, uid, gid, mtime, mtimeNsec }: IndexDirectory): IndexDirectory {
  return newDirectory({ mode: S_IFDIR | 0o755 | (mode & 0o022), uid, gid, mtime, mtimeNsec })
}
