import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { quoteName } from '../formats/path.ts'
import { measureVerity } from '../linux/fs-verity.ts'
import { explainRefusal } from './explain-refusal.ts'
import { readImageHeader } from './image-header.ts'
import { executeByBestMeans, mayBeMisunderstood } from './mount-means.ts'
import { type Means, type Setting, type MountStep, escapePath, layerSettings, metadataSteps } from './mount-plan.ts'

/** A mount of an image file that lies anywhere, in no store. Paths have one char per byte. */
export interface StandaloneMount {
  /** An open descriptor of the image file: what was checked is what gets mounted. */
  readonly image: number
  /** The caller's name for the image, for errors. */
  readonly name: string
  readonly target: string
  /** Object directories, the first wins. */
  readonly objects: readonly string[]
  readonly upper?: { readonly upper: string; readonly work: string }
  readonly readOnly: boolean
  /** Whether only objects with fs-verity can be read; `try`: where this kernel's overlayfs knows how to insist. */
  readonly verity: 'require' | 'try' | 'off'
  /** The fs-verity digest that the kernel must enforce for the image itself. */
  readonly digest?: VerityDigest
  /** An open descriptor of a user namespace: owners are what the image's ids stand for there. */
  readonly namespace?: number
}

/**
 * Mounts an image of any place. Nothing remembers the mount but the kernel: umount(8) takes it away.
 * @throws UNSUPPORTED or DIGEST_MISMATCH when the kernel enforces no digest for the image or another one than was asked
 * for, BAD_FORMAT when it is no composefs image
 */
export function mountStandalone(mount: StandaloneMount): void {
  try {
    checkDigest(mount)
    mountBest(mount, readHasAcl(mount))
  } catch (error) {
    throw explainRefusal(error)
  }
}

/** Takes only what the kernel enforces for this very descriptor: anything else could change afterwards. */
function checkDigest({ image, name, digest }: StandaloneMount): void {
  if (digest === undefined) return
  const found = measureVerity(image)
  if (found === digest) return
  const cannot = `Cannot mount ${quoteName(name)}`
  if (found === undefined)
    throw new OnefoldError('UNSUPPORTED', `${cannot}: it is not sealed with fs-verity, expected digest ${digest}`)
  throw new OnefoldError('DIGEST_MISMATCH', `${cannot}: its fs-verity digest is ${found}, expected ${digest}`)
}

function readHasAcl({ image, name }: StandaloneMount): boolean {
  const header = readImageHeader(image)
  if (header !== undefined) return header.hasAcl
  throw new OnefoldError(
    'BAD_FORMAT',
    `Cannot mount ${quoteName(name)}: it does not begin as a composefs image does; expected one that mkcomposefs makes`,
  )
}

function mountBest(mount: StandaloneMount, hasAcl: boolean): void {
  let refusal: unknown
  for (const insistsOnVerity of mount.verity === 'try' ? [true, false] : [mount.verity === 'require'])
    try {
      return mountWith(mount, hasAcl, insistsOnVerity)
    } catch (error) {
      if (!mayBeMisunderstood(error)) throw error
      refusal ??= error
    }
  throw refusal
}

function mountWith(mount: StandaloneMount, hasAcl: boolean, insistsOnVerity: boolean): void {
  executeByBestMeans(
    (means, scratch) => planStandalone({ ...mount, hasAcl, insistsOnVerity, scratch }, means),
    () => mkdtempSync(join(tmpdir(), '.composefs.')),
  )
}

interface StandaloneRequest extends Omit<StandaloneMount, 'name' | 'verity' | 'digest'> {
  readonly hasAcl: boolean
  readonly insistsOnVerity: boolean
  /** An empty directory, where the image is attached when overlay takes only paths. */
  readonly scratch: string
}

/**
 * Plans the mount that composefs' own helper makes, so that what looks for it in the mount table finds it: source
 * `composefs`, devices and setuid programs work, writes go nowhere unless there is an upper directory.
 */
export function planStandalone(request: StandaloneRequest, means: Means): readonly MountStep[] {
  const { namespace, scratch, target, readOnly } = request
  const byPath = means.layers !== 'descriptors'
  return [
    ...metadataSteps(request, means),
    ...(namespace === undefined ? [] : [{ step: 'idmap', mount: 'metadata', namespace } as const]),
    ...(byPath ? [{ step: 'attach', mount: 'metadata', target: scratch } as const] : []),
    {
      step: 'mount',
      type: 'overlay',
      settings: overlaySettings(request, means),
      attributes: readOnly ? ['rdonly'] : [],
      as: 'tree',
    },
    ...(byPath ? [{ step: 'detach', target: scratch } as const] : []),
    { step: 'attach', mount: 'tree', target },
  ]
}

function overlaySettings(request: StandaloneRequest, means: Means): Setting[] {
  const { insistsOnVerity, upper } = request
  return [
    { key: 'source', value: 'composefs' },
    { key: 'metacopy', value: 'on' },
    { key: 'redirect_dir', value: 'on' },
    ...(insistsOnVerity ? [{ key: 'verity', value: 'require' }] : []),
    ...layerSettings(request, means),
    ...(upper === undefined
      ? []
      : [
          { key: 'upperdir', value: escapePath(upper.upper) },
          { key: 'workdir', value: escapePath(upper.work) },
        ]),
  ]
}
