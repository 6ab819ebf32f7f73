import type { StoredImage } from '../store/store.ts'
import type { Store } from '../store/store.ts'

/** What to mount or read: an image as `store.find()` or `obtain()` gives it, or its name in the store. */
export type ImageChoice = StoredImage | string

export interface TrustOptions {
  /** Use an image although it was found to be something else than it says. */
  readonly allowFailed?: boolean | undefined
}

/** The image that is meant, and what to call it. */
export function chosenImage(store: Store, choice: ImageChoice): { image: StoredImage; name: string | undefined } {
  const image = typeof choice === 'string' ? store.find(choice) : choice
  return { image, name: typeof choice === 'string' ? choice : image.names[0] }
}
