import { OnefoldError } from '../error.ts'
import type { ErofsView } from '../formats/composefs/image-view.ts'
import type { FoundInode } from '../formats/lookup.ts'
import type { Directory } from '../formats/tree.ts'
import { pathFromUtf8 } from '../paths.ts'
import type { Store, StoredImage } from '../store/store.ts'
import type { ObtainOptions } from '../transfer/pull/obtain.ts'
import type { Call, OptionSpecs } from './command.ts'
import { nameFrom } from './output.ts'
import { showProgress } from './progress.ts'
import {
  limitOptions,
  limitsOf,
  platformOf,
  platformOptions,
  sourceOptions,
  sourceOptionsOf,
} from './shared-options.ts'

/** Options of commands that read an image, and may have to pull it first. */
export const imageOptions: OptionSpecs = { ...platformOptions, ...sourceOptions, ...limitOptions }

/** Finds the image a reading command names: one of the store, or else a source, which is pulled first. */
export async function obtainImage(
  call: Call,
  store: Store,
  name: string,
  how: Pick<ObtainOptions, 'allPlatforms' | 'partial'> = {},
): Promise<StoredImage> {
  const { obtain } = await import('../transfer/pull/obtain.ts')
  const platform = await platformOf(call.options)
  using progress = showProgress(call.out)
  // Awaited here: the progress ends with this function.
  return await obtain(store, name, {
    ...how,
    ...(platform === undefined ? {} : { platform }),
    source: sourceOptionsOf(call.options, call.out.note, call.signal),
    limits: limitsOf(call.options),
    signal: call.signal,
    onProgress: progress.event,
  })
}

/** Opens the store that a command works on. */
export async function openCallStore(call: Call, create = true): Promise<Store> {
  const { openStore } = await import('../store/store.ts')
  return openStore(call.storeRoot, { create })
}

/** Reads the merged tree of a stored image, as its user sees it. */
export async function treeOf(store: Store, image: StoredImage): Promise<Directory> {
  const { readTree } = await import('../library/reading.ts')
  return readTree(store, image)
}

/** Opens the same tree for callers that look at a few places of it: of a large image it is there at once. */
export async function viewOf(store: Store, image: StoredImage): Promise<ErofsView> {
  const { openErofs } = await import('../formats/composefs/image-view.ts')
  const { imageBytes } = await import('../transfer/ensure-image.ts')
  return openErofs(await imageBytes(store, image.record))
}

/**
 * Finds a path as the user wrote it: as it is, or as `ls` shows names that are not UTF-8. Symlinks are followed, inside
 * the image.
 * @throws NOT_FOUND naming the path
 */
export function findPath<Node>(
  lookup: (path: string) => FoundInode<Node> | undefined,
  path: string,
  image: string,
): FoundInode<Node> {
  const found = lookup(pathFromUtf8(path)) ?? lookup(nameFrom(path))
  if (found !== undefined) return found
  const hint = path.includes('\ufffd')
    ? 'Write bytes that are not UTF-8 as \\xNN.'
    : `See what there is: onefold ls ${image}`
  throw new OnefoldError('NOT_FOUND', `Cannot find "${path}" in image "${image}"`, { hint })
}
