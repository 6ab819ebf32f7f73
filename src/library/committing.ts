import { OnefoldError, hasCode } from '../error.ts'
import { findChanges } from '../mount/find-changes.ts'
import type { MountRecord } from '../store/mount-record.ts'
import type { StoredImage } from '../store/store.ts'
import type { ImageRecord } from '../store/records/image-record.ts'
import type { Store } from '../store/store.ts'
import type { DeriveOptions, DerivedImage } from '../transfer/commit/derive-image.ts'

/**
 * Makes what a mount or a run has changed a new layer above its image, and the whole an image of the store. The mount
 * may be up; while something writes to it, the commit ends with DIGEST_MISMATCH and nothing is stored.
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

/**
 * Returns the image a mount stands on, which several names and configs may share: if possible the one it was mounted
 * by.
 */
function baseOf(store: Store, { id, image, name }: MountRecord): ImageRecord {
  const named = findIfPresent(store, name)
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

function findIfPresent(store: Store, name: string): StoredImage | undefined {
  try {
    return store.find(name)
  } catch (error) {
    if (error instanceof OnefoldError && ['NOT_FOUND', 'BAD_NAME'].includes(error.code)) return undefined
    throw error
  }
}
