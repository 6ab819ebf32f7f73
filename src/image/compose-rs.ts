/**
 * Tree that composefs-rs makes of an image's layers (`oci compute-id`), so that an image sealed there can be verified
 * here. It is not the tree that a container sees (docs/tree.md), but one whose digest its builder can foretell:
 *
 * - layers are unpacked over one another as they come; a whiteout hides what is there at that point of the stream;
 * - every parent has to have an entry of its own;
 * - the root takes owner, permissions, time and attributes of /usr, and /run is emptied and takes the time of /usr;
 * - of the attributes only `security.capability` stays, and `user.*` if asked for.
 */
import type { Algorithm, VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { type Entry, type Xattrs, noXattrs } from '../formats/entry.ts'
import { writeErofs } from '../formats/composefs/write-image.ts'
import { writeRsErofs } from '../formats/composefs/rs/write-rs.ts'
import { Verity512Hasher, VerityHasher } from '../formats/fsverity/verity-digest.ts'
import { opaqueMarker, whiteoutPrefix } from '../formats/oci/whiteouts.ts'
import { maxPathBytes, quoteName } from '../formats/path.ts'
import {
  type Directory,
  type Inode,
  emptyDirectory,
  inodeOf,
  isDirectory,
  isHardLink,
  namesBelow,
} from '../formats/tree.ts'
import { settleLinks } from './merge/apply-layers.ts'
import { checkName, copyMetadata, newInode, refused } from './merge/new-inode.ts'

export interface ComposefsRsOptions {
  /** Keeps attributes that begin with `user.`. */
  readonly keepUserXattrs?: boolean | undefined
}

export class ComposefsRsTree {
  readonly #root = emptyDirectory()
  readonly #options: ComposefsRsOptions
  readonly #linked = new Set<Inode>()

  constructor(options: ComposefsRsOptions = {}) {
    this.#options = options
  }

  /** Unpacks one layer over what is there. Throws BAD_FORMAT, and UNSUPPORTED for what composefs-rs refuses. */
  apply(entries: Iterable<Entry>): void {
    for (const entry of entries) this.#add(entry)
  }

  /** Returns the tree. Throws UNSUPPORTED for one without /usr. */
  finish(): Directory {
    const usr = this.#root.children.get('usr')
    if (usr === undefined || !isDirectory(usr))
      throw unsupported('the image has no directory /usr, whose owner and time the root is to take')
    copyMetadata(usr, this.#root)
    const run = this.#root.children.get('run')
    if (run !== undefined && isDirectory(run)) {
      run.children.clear()
      run.mtime = usr.mtime
      run.mtimeNsec = usr.mtimeNsec
    }
    settleLinks(this.#root, this.#linked)
    return this.#root
  }

  #add(entry: Entry): void {
    if (entry.path.length > maxPathBytes) throw refused(entry, `a path has at most ${maxPathBytes} bytes`)
    if (entry.path === '') {
      if (entry.type !== 'directory') throw refused(entry, `the root of the tree cannot be a ${entry.type}`)
      return
    }
    const { directory, name } = this.#parentOf(entry, entry.path)
    if (name === opaqueMarker) directory.children.clear()
    else if (name.startsWith(whiteoutPrefix)) directory.children.delete(name.slice(whiteoutPrefix.length))
    else this.#place(directory, name, entry)
  }

  #place(directory: Directory, name: string, entry: Entry): void {
    checkName(name, entry)
    if (entry.type === 'hardlink') {
      directory.children.set(name, this.#linkTarget(entry))
      return
    }
    const inode = newInode(entry, entry.mode, this.#kept(entry.xattrs))
    const present = directory.children.get(name)
    if (entry.type !== 'directory') directory.children.set(name, inode)
    else if (present !== undefined && isDirectory(present)) copyMetadata(inode, present)
    else directory.children.set(name, { ...inode, children: new Map() })
  }

  #linkTarget(entry: Entry): Inode {
    const { directory, name } = this.#parentOf(entry, entry.link)
    const child = directory.children.get(name)
    if (child === undefined) throw refused(entry, `its hard link target ${quoteName(entry.link)} is not there`)
    const target = inodeOf(child)
    if (isDirectory(target)) throw refused(entry, `its hard link target ${quoteName(entry.link)} is a directory`)
    this.#linked.add(target)
    return target
  }

  #parentOf(entry: Entry, path: string): { directory: Directory; name: string } {
    const names = path.split('/')
    const name = names.pop() ?? ''
    let directory: Directory = this.#root
    for (const component of names) {
      const child = directory.children.get(component)
      if (child === undefined)
        throw unsupported(`${quoteName(entry.path)} lies in ${quoteName(component)}, which has no entry before it`)
      if (!isDirectory(child)) throw refused(entry, `${quoteName(component)} is no directory`)
      directory = child
    }
    return { directory, name }
  }

  #kept(xattrs: Xattrs): Xattrs {
    if (xattrs.size === 0) return noXattrs
    const kept = [...xattrs].filter(([name]) => this.#isKept(name))
    return kept.length === 0 ? noXattrs : new Map(kept)
  }

  #isKept(name: string): boolean {
    return name === 'security.capability' || (this.#options.keepUserXattrs === true && name.startsWith('user.'))
  }
}

/** Gives contents other names, in place: an image with sha512 digests refers to files by such names. */
export function renameContents(root: Directory, nameOf: (digest: VerityDigest) => string): void {
  for (const { child } of namesBelow(root))
    if (!isHardLink(child) && child.content.kind === 'object')
      // Writers take digests of either length; everything else of onefold names contents by sha256.
      child.content = { ...child.content, digest: nameOf(child.content.digest) as VerityDigest }
}

/**
 * Makes the image and its id, which is its fs-verity digest.
 * @param algorithm digest algorithm of the id and of the contents' names, which have to use it already
 */
export function composeComposefsRs(
  root: Directory,
  algorithm: Algorithm,
  layout: 1 | 2,
): { readonly bytes: Uint8Array; readonly digest: string } {
  const bytes = layout === 2 ? writeRsErofs(root) : writeErofs(root, { minVersion: 1, maxVersion: 1 }).bytes
  const hasher = algorithm === 'sha512' ? new Verity512Hasher() : new VerityHasher()
  hasher.update(bytes)
  return { bytes, digest: hasher.digest() }
}

function unsupported(why: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot compute the id that composefs-rs gives the image: ${why}`, {
    hint: 'composefs-rs refuses this image too. onefold digest without --composefs-rs needs none of that.',
  })
}
