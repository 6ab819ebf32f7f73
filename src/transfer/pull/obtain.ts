import { hasCode } from '../../error.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { Store, StoredImage } from '../../store/store.ts'
import type { PullOptions } from './pull.ts'

export interface ObtainOptions extends Omit<PullOptions, 'name'> {
  readonly source?: SourceOptions
}

/**
 * Finds the image that was named: one of the store, by name or digest, or else one of a source, which is pulled under
 * the name as it was written.
 */
export async function obtain(store: Store, name: string, options: ObtainOptions = {}): Promise<StoredImage> {
  const { platform } = options
  try {
    return store.find(name, { platform })
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND') || looksLikeDigest(name)) throw error
  }
  const { openSource } = await import('../../sources/open-source.ts')
  const { pull } = await import('./pull.ts')
  await using source = await openSource(name, { ...options.source, omit: [store.root] })
  await pull(store, source, { ...options, name })
  return store.find(name, { platform })
}

/** Tells whether a name is a digest: one that is not in the store is no name of an image on Docker Hub. */
function looksLikeDigest(name: string): boolean {
  return /^(?:sha(?:256|512):)?[0-9a-f]{12,}$/.test(name)
}
