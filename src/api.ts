import { readErofs } from './formats/erofs/tree.ts'
import { parseConfig } from './formats/oci/config.ts'
import type { Directory } from './formats/tree.ts'
import { type MountOptions, mountImage } from './mount/mount.ts'
import type { MountRecord } from './mount/state.ts'
import { type UnmountOptions, type Unmounted, unmountImage } from './mount/unmount.ts'
import type { RunOptions, RunResult } from './run/run.ts'
import type { StoredImage } from './store/find.ts'
import type { Store } from './store/store.ts'
import { ensureImage, imageBytes } from './transfer/image.ts'

/** The functions of the library that join several parts. */

export type { MountOptions } from './mount/mount.ts'
export type { MountRecord } from './mount/state.ts'

/** What to mount or read: an image as `store.find()` or `obtain()` gives it, or its name in the store. */
export type ImageChoice = StoredImage | string

/** Mounts a stored image; the mount outlives the process. Its `target` and `id` are in the result. */
export async function mount(store: Store, image: ImageChoice, options: MountOptions = {}): Promise<MountRecord> {
  const found = typeof image === 'string' ? store.find(image) : image
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
export async function run(store: Store, image: ImageChoice, options: RunOptions = {}): Promise<RunResult> {
  const found = typeof image === 'string' ? store.find(image) : image
  const imageName = options.imageName ?? (typeof image === 'string' ? image : image.names[0])
  const config = parseConfig(store.blob(found.record.config.digest))
  const { runImage } = await import('./run/run.ts')
  return runImage(store, await ensureImage(store, found.record), config.run, { ...options, imageName })
}
