/**
 * Layout of a store: where everything lies. Names below the root are made of digests, random ids and percent-encoded text only.
 *
 *     <root>/                      0700; 0755 when shared with other users
 *       store.json                 format version and the algorithm of object names
 *       lock                       flock: commits and tags shared, gc exclusive
 *       objects/ab/cdef…           0444, one file's bytes each, named by fs-verity digest
 *       layers/<recipe digest>     recipes, zstd
 *       records/<alg>:<hex>        facts about an image, JSON, named by its manifest
 *       images/<digest>.erofs      0444, composefs images: rebuildable
 *       blobs/<alg>/<hex>          manifests, configs, indexes: bytes as served
 *       refs/<percent-encoded>     name → top descriptor
 *       mounts/<id>/               what a mount needs beyond its image; made by src/mount
 *         mount.json               its record
 *         upper/                   changes that were made in it
 *       tmp/aside-<kind>-<digest>  what a garbage collection is about to delete
 *       tmp/<id>/                  a transaction
 *         lock                     flock, exclusive while the owner lives
 *         holds                    what the owner relies on: one line for each digest
 *         objects/ layers/ …       as above: what the transaction adds
 *         files/                   objects whose digest is not known yet
 *         notes/<alg>:<hex>        layer record of a finished layer, named by its blob
 *       index.db                   SQLite, derived: which record knows a layer
 *       quarantine/                damaged files that fsck took away from their names, below the folders they were in
 *       missing                    objects that the last fsck found missing, as lines of holds
 *       checked.json               when fsck last found nothing wrong
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Digest, type RecipeDigest, type VerityDigest, algorithmOf, hexOf, isDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'

/** Folders every store has, in the order in which a commit fills them: nothing is named before what it needs. */
export const folders = ['objects', 'layers', 'images', 'blobs', 'records', 'refs'] as const
export type Folder = (typeof folders)[number]
/** Folders whose files are named by digests. */
export type DigestFolder = Exclude<Folder, 'refs'>

export const storeFile = 'store.json'
export const lockFile = 'lock'
export const indexFile = 'index.db'
export const tmpFolder = 'tmp'
export const mountsFolder = 'mounts'
export const quarantineFolder = 'quarantine'
export const missingFile = 'missing'
export const checkedFile = 'checked.json'

export function defaultRoot(): string {
  if (process.getuid?.() === 0) return '/var/lib/onefold'
  const data = process.env['XDG_DATA_HOME']
  // The base directory specification has relative values ignored.
  return data?.startsWith('/') === true ? join(data, 'onefold') : join(home(), '.local', 'share', 'onefold')
}

/** The home directory. Who has neither $HOME nor an entry in /etc/passwd has none. */
function home(): string {
  try {
    return homedir()
  } catch (cause) {
    throw new OnefoldError('USAGE', 'Cannot tell where the store is: there is no home directory, expected $HOME', {
      cause,
      hint: 'Name a store with --store or $ONEFOLD_STORE.',
    })
  }
}

/** `root` is that of the store, or the folder of a transaction. */
export function objectPath(root: string, digest: VerityDigest): string {
  return `${root}/objects/${digest.slice(0, 2)}/${digest.slice(2)}`
}

export function recipePath(root: string, digest: RecipeDigest): string {
  return `${root}/layers/${digest}`
}

export function imagePath(root: string, digest: VerityDigest): string {
  return `${root}/images/${digest}.erofs`
}

export function recordPath(root: string, manifest: Digest): string {
  return `${root}/records/${manifest}`
}

export function blobPath(root: string, digest: Digest): string {
  return `${root}/blobs/${algorithmOf(digest)}/${hexOf(digest)}`
}

/** The paths above by the folder they lead to; `digest` is one of that folder's kind. */
export function digestPath(root: string, folder: DigestFolder, digest: string): string {
  switch (folder) {
    case 'records':
      return recordPath(root, digest as Digest)
    case 'blobs':
      return blobPath(root, digest as Digest)
    case 'images':
      return imagePath(root, digest as VerityDigest)
    case 'layers':
      return recipePath(root, digest as RecipeDigest)
    case 'objects':
      return objectPath(root, digest as VerityDigest)
  }
}

/** Whether files of the folder are named by digests like this one. */
export function isDigestOf(folder: DigestFolder, digest: string): boolean {
  return folder === 'records' || folder === 'blobs' ? isDigest(digest) : /^[0-9a-f]{64}$/.test(digest)
}

export function notePath(transaction: string, blob: Digest): string {
  return `${transaction}/notes/${blob}`
}

/**
 * The digest that the name of a file in a folder stands for, the inverse of the paths above; undefined when it is none
 * of ours.
 */
export function digestOfName(folder: DigestFolder, name: string): string | undefined {
  switch (folder) {
    case 'records':
      return isDigest(name) ? name : undefined
    case 'blobs':
      return isDigest(name.replace('/', ':')) ? name.replace('/', ':') : undefined
    case 'images':
      return /^[0-9a-f]{64}\.erofs$/.test(name) ? name.slice(0, 64) : undefined
    case 'layers':
      return /^[0-9a-f]{64}$/.test(name) ? name : undefined
    case 'objects':
      return /^[0-9a-f]{2}\/[0-9a-f]{62}$/.test(name) ? name.replace('/', '') : undefined
  }
}
