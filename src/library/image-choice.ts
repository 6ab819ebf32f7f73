import type { StoredImage } from '../store/store.ts'
import type { Store } from '../store/store.ts'

/** Image to mount or read: as `store.find()` or `obtain()` gives it, or its name in the store. */
export type ImageChoice = StoredImage | string

export interface TrustOptions {
  /** Uses an image although it was found to be something else than it says. */
  readonly allowFailed?: boolean | undefined
}

/** Returns the image that is meant, and the name to show for it. */
export function chosenImage(store: Store, choice: ImageChoice): { image: StoredImage; name: string | undefined } {
  const image = typeof choice === 'string' ? store.find(choice) : choice
  return { image, name: typeof choice === 'string' ? choice : image.names[0] }
}
