import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { OnefoldError } from '../../error.ts'
import { attempt } from '../../sources/local/file-set.ts'
import type { Store, StoredImage } from '../../store/store.ts'
import { type DeriveOptions, type DerivedImage, deriveImage } from './derive-image.ts'
import type { LayerFrom } from './commit-layer.ts'

export interface ImportOptions extends DeriveOptions {
  /** Image that the layer lies on, as found or by its name in the store; without one it is an image's only layer. */
  readonly base?: StoredImage | string | undefined
  /**
   * Makes the directory the upper directory of an overlay over `base`: `user` when it was mounted with `userxattr`, as
   * engines without root do, else `trusted`.
   */
  readonly upper?: 'trusted' | 'user' | undefined
}

/**
 * Makes an image of a directory, or of a tar (`-` is standard input): an image of one layer, or a base and one more. A
 * directory that somebody writes to meanwhile is refused (DIGEST_MISMATCH).
 */
export async function importImage(
  store: Store,
  path: string,
  name: string,
  options: ImportOptions = {},
): Promise<DerivedImage> {
  const { base, upper } = options
  if (upper !== undefined && base === undefined)
    throw new OnefoldError(
      'USAGE',
      'Cannot import an upper directory without its base: it says what changed on an image',
    )
  const found = typeof base === 'string' ? store.find(base) : base
  const from = await layerFrom(path, upper)
  const origin = `import of ${path === '-' ? 'standard input' : resolve(path)}`
  return deriveImage(store, found?.record, from, name, { createdBy: 'onefold import', origin }, options)
}

async function layerFrom(path: string, upper: ImportOptions['upper']): Promise<LayerFrom> {
  const isDirectory = path !== '-' && (await attempt(path, async () => statSync(path))).isDirectory()
  if (upper !== undefined && !isDirectory)
    throw new OnefoldError('USAGE', `Cannot import ${JSON.stringify(path)} as an upper directory: it is no directory`)
  if (upper !== undefined) return { kind: 'upper', path, userXattrs: upper === 'user' }
  return { kind: isDirectory ? 'directory' : 'tar', path }
}
