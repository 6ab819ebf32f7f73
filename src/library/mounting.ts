import { type MountOptions, mountImage } from '../mount/mount-image.ts'
import type { MountRecord } from '../store/mount-record.ts'
import { type UnmountOptions, type Unmounted, unmountImage } from '../mount/unmount.ts'
import type { Store } from '../store/store.ts'
import { ensureImage } from '../transfer/ensure-image.ts'
import { requireSound } from '../transfer/verify/proof.ts'
import { type ImageChoice, type TrustOptions, chosenImage } from './image-choice.ts'

/** Mounts a stored image; the mount outlives the process. Its `target` and `id` are in the result. */
export async function mount(
  store: Store,
  image: ImageChoice,
  options: MountOptions & TrustOptions = {},
): Promise<MountRecord> {
  const { image: found, name } = chosenImage(store, image)
  requireSound(found.record, options.allowFailed === true)
  const called = options.name ?? name
  const named = called === undefined ? options : { ...options, name: called }
  return mountImage(store, await ensureImage(store, found.record), named)
}

/** Takes a mount away, by its id or by its target. Changes are kept unless `discard` is set. */
export function unmount(store: Store, which: string, options: UnmountOptions = {}): Unmounted {
  return unmountImage(store, which, options)
}
