import { readErofs } from '../formats/composefs/read-image.ts'
import { parseConfig } from '../formats/oci/image-config.ts'
import type { Directory } from '../formats/tree.ts'
import { findChanges } from '../mount/find-changes.ts'
import { type MountOptions, mountImage } from '../mount/mount-image.ts'
import type { MountRecord } from '../mount/mount-state.ts'
import { type UnmountOptions, type Unmounted, unmountImage } from '../mount/unmount.ts'
import type { RunOptions, RunResult } from '../run/run.ts'
import { hasCode, OnefoldError } from '../error.ts'
import type { StoredImage } from '../store/records/find-image.ts'
import type { ImageRecord } from '../store/records/image-record.ts'
import type { Store } from '../store/store.ts'
import type { DeriveOptions, DerivedImage } from '../transfer/commit/derive-image.ts'
import { ensureImage, imageBytes } from '../transfer/ensure-image.ts'
import { requireSound } from '../transfer/verify/proof.ts'

/** The functions of the library that join several parts. */

export type { MountOptions } from '../mount/mount-image.ts'
export type { MountRecord } from '../mount/mount-state.ts'

/** What to mount or read: an image as `store.find()` or `obtain()` gives it, or its name in the store. */
export type ImageChoice = StoredImage | string

export interface TrustOptions {
  /** Use an image although it was found to be something else than it says. */
  readonly allowFailed?: boolean | undefined
}

/** Mounts a stored image; the mount outlives the process. Its `target` and `id` are in the result. */
export async function mount(
  store: Store,
  image: ImageChoice,
  options: MountOptions & TrustOptions = {},
): Promise<MountRecord> {
  const found = typeof image === 'string' ? store.find(image) : image
  requireSound(found.record, options.allowFailed === true)
  const name = options.name ?? (typeof image === 'string' ? image : image.names[0])
  return mountImage(store, await ensureImage(store, found.record), {
    ...options,
    ...(name === undefined ? {} : { name }),
  })
}

/** Takes a mount away, by its id or by where it is mounted. Changes are kept unless `discard` is set. */
export function unmount(store: Store, which: string, options: UnmountOptions = {}): Unmounted {
  return unmountImage(store, which, options)
}

/** The merged tree of a stored image, from its metadata alone. */
export async function readTree(store: Store, image: ImageChoice): Promise<Directory> {
  const found = typeof image === 'string' ? store.find(image) : image
  return readErofs(await imageBytes(store, found.record))
}

/**
 * Runs a program in a container made from a stored image, as its config says where the options say nothing, and waits for
 * its end. Standard streams and signals are the program's meanwhile.
 */
export async function run(
  store: Store,
  image: ImageChoice,
  options: RunOptions & TrustOptions = {},
): Promise<RunResult> {
  const found = typeof image === 'string' ? store.find(image) : image
  requireSound(found.record, options.allowFailed === true)
  const imageName = options.imageName ?? (typeof image === 'string' ? image : image.names[0])
  const config = parseConfig(store.blob(found.record.config.digest))
  const { runImage } = await import('../run/run.ts')
  return runImage(store, await ensureImage(store, found.record), config.run, { ...options, imageName })
}

/**
 * Makes what a mount or a run has changed a new layer above its image, and the whole an image of the store. The mount may
 * be up; while something writes to it, the commit ends with DIGEST_MISMATCH and nothing is stored.
 */
export async function commit(
  store: Store,
  mount: string,
  name: string,
  options: DeriveOptions = {},
): Promise<DerivedImage> {
  const { mount: record, upper } = findChanges(store, mount, 'commit')
  if (upper === undefined)
    throw new OnefoldError('USAGE', `Cannot commit ${record.id}: it is mounted read-only, so nothing has changed`)
  const { deriveImage } = await import('../transfer/commit/derive-image.ts')
  const base = baseOf(store, record)
  const made = { createdBy: 'onefold commit', origin: `commit of ${record.id}` }
  return deriveImage(store, base, { kind: 'upper', path: upper }, name, made, options)
}

/** The image a mount stands on, which several names and configs may share: if possible the one it was mounted by. */
function baseOf(store: Store, { id, image, name }: MountRecord): ImageRecord {
  const named = findOrNot(store, name)
  if (named?.imageDigest === image) return named.record
  try {
    return store.find(image).record
  } catch (cause) {
    if (!hasCode(cause, 'NOT_FOUND')) throw cause
    // Nothing has a name any more; what a collection has spared is enough.
    const records = store.recordsWith(image)
    const record = records.length === 1 ? records[0] : records.find(({ origin }) => origin.source === name)
    if (record !== undefined) return record
    throw new OnefoldError('NOT_FOUND', `Cannot commit ${id}: its image (${name}) has been removed from the store`, {
      cause,
      hint: 'Pull that image again: its layers are those of the new one, too.',
    })
  }
}

function findOrNot(store: Store, name: string): StoredImage | undefined {
  try {
    return store.find(name)
  } catch (error) {
    if (error instanceof OnefoldError && ['NOT_FOUND', 'BAD_NAME'].includes(error.code)) return undefined
    throw error
  }
}

export interface MountTrees {
  /** Of the image that is mounted. */
  readonly before: Directory
  /** With everything that was changed since; the same object when the mount is read-only. */
  readonly after: Directory
}

/** What a mount or a run has changed, as two trees to be compared; `diffTrees` does. Changed files are read. */
export async function readMount(
  store: Store,
  mount: string,
  options: { readonly signal?: AbortSignal; readonly onWarning?: (message: string) => void } = {},
): Promise<MountTrees> {
  const { mount: record, upper } = findChanges(store, mount, 'read')
  const bytes = store.image(record.image)
  if (bytes === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot read ${record.id}: its image ${record.image} is not in the store`)
  const before = readErofs(bytes)
  if (upper === undefined) return { before, after: before }
  const { changedTree } = await import('../transfer/commit/changed-tree.ts')
  // Labels are shown by the mount as they are; comparing them says what the machine's policy did.
  return { before, after: await changedTree(before, readErofs(bytes), upper, { keepSelinux: false, ...options }) }
}
