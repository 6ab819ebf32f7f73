import type { AbortOptions } from '../../abort.ts'
import type { Algorithm, VerityDigest } from '../../digest.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { type Directory, isHardLink, namesBelow } from '../../formats/tree.ts'
import { ComposefsRsTree, composeComposefsRs, renameContents } from '../../image/compose-rs.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store, WideDigests } from '../../store/store.ts'
import type { StoredLayers } from '../ensure-image.ts'

export interface ComposefsRsIdOptions {
  /** Digest algorithm; default sha512, as there. */
  readonly algorithm?: Algorithm | undefined
  /** Layout of the image: 1 is today's, 2 that of releases before it; default 1. */
  readonly layout?: 1 | 2 | undefined
  /** Keeps attributes that begin with `user.`; by default, as there, all but `security.capability` are left out. */
  readonly keepUserXattrs?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** Stored layers whose objects can be read as well. */
export interface StoredContents extends StoredLayers {
  wideDigests(objects: ReadonlySet<VerityDigest>, options: AbortOptions): Promise<WideDigests>
}

/** The layers of an image of the store. */
export function storedContents(store: Store, { layers }: Pick<ImageRecord, 'layers'>): StoredContents {
  return {
    layers,
    readRecipe: (digest) => store.recipe(digest),
    wideDigests: (objects, options) => store.wideDigests(objects, options),
  }
}

/**
 * Computes the digest that `cfsctl oci compute-id` gives the image: an fs-verity digest in hex, of another tree of the
 * same layers than onefold mounts.
 * @throws UNSUPPORTED where composefs-rs refuses the image
 */
export async function composefsRsId(stored: StoredContents, options: ComposefsRsIdOptions = {}): Promise<string> {
  const { algorithm = 'sha512', layout = 1, keepUserXattrs, signal } = options
  const tree = new ComposefsRsTree({ keepUserXattrs })
  for (const { recipe } of stored.layers) tree.apply(readRecipe(stored.readRecipe(recipe)).entries())
  const root = tree.finish()
  if (algorithm === 'sha512') {
    const wide = await stored.wideDigests(objectsOf(root), { signal })
    renameContents(root, (digest) => wide.get(digest) ?? '')
  }
  return composeComposefsRs(root, algorithm, layout).digest
}

function objectsOf(root: Directory): Set<VerityDigest> {
  const objects = new Set<VerityDigest>()
  for (const { child } of namesBelow(root))
    if (!isHardLink(child) && child.content.kind === 'object') objects.add(child.content.digest)
  return objects
}
