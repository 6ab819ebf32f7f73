import { OnefoldError } from '../error.ts'
import { readErofs } from '../formats/composefs/read-image.ts'
import type { Directory } from '../formats/tree.ts'
import { findChanges } from '../mount/find-changes.ts'
import type { Store } from '../store/store.ts'
import { imageBytes } from '../transfer/ensure-image.ts'
import { type ImageChoice, chosenImage } from './image-choice.ts'

/** Reads the merged tree of a stored image, from its metadata alone. */
export async function readTree(store: Store, image: ImageChoice): Promise<Directory> {
  return readErofs(await imageBytes(store, chosenImage(store, image).image.record))
}

export interface MountTrees {
  /** Tree of the image that is mounted. */
  readonly before: Directory
  /** Tree with everything that was changed since; the same object when the mount is read-only. */
  readonly after: Directory
}

/** Returns what a mount or a run has changed, as two trees to be compared; `diffTrees` does. Changed files are read. */
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
