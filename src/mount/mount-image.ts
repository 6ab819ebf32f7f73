import { randomBytes } from 'node:crypto'
import { mkdirSync, realpathSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError, errnoOf } from '../error.ts'
import { unmount } from '../linux/mount-calls.ts'
import { readMounts } from '../linux/mountinfo.ts'
import { pathFromUtf8 } from '../paths.ts'
import { bootId, mountNamespace } from './this-boot.ts'
import { type ImageChecks, type OpenImage, openImage } from './open-image.ts'
import { explainRefusal } from './explain-refusal.ts'
import { executeByBestMeans } from './mount-means.ts'
import { type Changes, type MountRequest, planMount } from './mount-plan.ts'
import { describeRoot } from './copy-root.ts'
import { type MountRecord, isMountId, mountPath, readMountRecord } from '../store/mount-record.ts'
import {
  type MountStore,
  attempt,
  lockMount,
  lockMounts,
  makeMountFolder,
  realPath,
  removeDirectory,
  removeMountFolder,
  removeTree,
  tidyUp,
  writeMountRecord,
} from './mount-state.ts'
import { listMounts, statusOf } from './mount-status.ts'

export interface MountOptions {
  /** An existing directory, or one to make; default: a folder of its own in the store. */
  readonly target?: string | undefined
  /** Name of the image in listings; default: its digest. */
  readonly name?: string | undefined
  /** Changes go to a folder of the mount in the store, and are kept when it is unmounted. */
  readonly rw?: boolean | undefined
  /** Writable, with changes in this folder (it gets `upper` and `work`), or those kept under this mount's id. */
  readonly upper?: string | undefined
  /** Changes are thrown away afterwards: nothing waits for the disk, and a crash may leave them torn. */
  readonly volatile?: boolean | undefined
  /** Hash the whole image before it is mounted. */
  readonly verify?: boolean | undefined
  /**
   * Mount only what is sealed with fs-verity: the kernel checks the image and every object against its digest, as it is
   * read. Always so in a store that requires it.
   */
  readonly verity?: boolean | undefined
  /** Digest that the image must have: with another one, or with bytes that have another one, it is not mounted. */
  readonly digest?: VerityDigest | undefined
  readonly nosuid?: boolean | undefined
}

/** Mounts an image of the store. The mount outlives the process; `unmountImage` takes it away. */
export function mountImage(store: MountStore, image: VerityDigest, options: MountOptions = {}): MountRecord {
  const { digest } = options
  if (digest !== undefined && digest !== image)
    throw new OnefoldError('DIGEST_MISMATCH', `Cannot mount image ${image}: expected ${digest}`)
  using _mounts = lockMounts(store, 'shared')
  return options.upper !== undefined && isMountId(options.upper)
    ? mountAgain(store, image, options.upper, options)
    : mountNew(store, image, options)
}

function mountNew(store: MountStore, image: VerityDigest, options: MountOptions): MountRecord {
  using opened = openImage(pathFromUtf8(store.imagePath(image)), image, checksOf(store, options))
  const id = randomBytes(6).toString('hex')
  makeMountFolder(store, id)
  try {
    return mountRecorded(store, opened, { id, image, ...placeOfChanges(store, id, options) }, options)
  } catch (error) {
    tidyUp(() => removeMountFolder(store, id))
    throw explainRefusal(error)
  }
}

/** Mounts kept changes, above the image they were made on. */
function mountAgain(store: MountStore, image: VerityDigest, id: string, options: MountOptions): MountRecord {
  const kept = keptChanges(store, image, id)
  using _lock = lockMount(store, id)
  using opened = openImage(pathFromUtf8(store.imagePath(image)), image, checksOf(store, options))
  try {
    return mountRecorded(store, opened, kept, { ...options, name: options.name ?? kept.name })
  } catch (error) {
    tidyUp(() => writeMountRecord(store, kept))
    throw explainRefusal(error)
  }
}

function keptChanges(store: MountStore, image: VerityDigest, id: string): MountRecord {
  const record = readMountRecord(store.root, id)
  const cannot = `Cannot mount the changes of ${id}`
  if (record?.changes === undefined) throw new OnefoldError('NOT_FOUND', `${cannot}: no changes are kept under this id`)
  if (record.image !== image) {
    throw new OnefoldError('USAGE', `${cannot}: they were made on image ${record.image}, not on ${image}`)
  }
  const { state } = statusOf(store, record, readMounts())
  if (state === 'kept') return record
  throw new OnefoldError('BUSY', `${cannot}: they are ${state === 'mounted' ? 'mounted' : 'still in use elsewhere'}`)
}

type Kept = Pick<MountRecord, 'id' | 'image' | 'changes' | 'ownsChanges'> & { readonly untouched?: string | undefined }

function mountRecorded(store: MountStore, image: OpenImage, kept: Kept, options: MountOptions): MountRecord {
  const made: string[] = []
  let mounted: string | undefined
  try {
    const record: MountRecord = {
      ...kept,
      untouched: kept.untouched,
      name: options.name ?? kept.image,
      ...makeTarget(options.target ?? join(mountPath(store.root, kept.id), 'root'), made),
      state: 'mounted',
      boot: bootId(),
      namespace: mountNamespace(),
    }
    writeMountRecord(store, record)
    const changes = record.changes === undefined ? undefined : makeChanges(record.changes, made)
    const request = requestOf(store, image, record, changes, options)
    executeByBestMeans(
      (means, scratch) => planMount({ ...request, scratch }, means),
      () => makeScratch(store, record.id),
    )
    mounted = record.target
    return changes?.fresh === true ? remember(store, record) : record
  } catch (error) {
    tidyUp(
      () => mounted !== undefined && unmount(pathFromUtf8(mounted), { lazy: true }),
      () => kept.changes !== undefined && removeTree(join(kept.changes, 'work')),
      ...made.reverse().map((path) => () => removeDirectory(path)),
    )
    throw error
  }
}

function requestOf(
  store: MountStore,
  image: OpenImage,
  record: MountRecord,
  changes: Changes | undefined,
  options: MountOptions,
): Omit<MountRequest, 'scratch'> {
  return {
    id: record.id,
    image: image.fd,
    hasAcl: image.hasAcl,
    objects: [pathFromUtf8(store.objectsPath)],
    target: pathFromUtf8(record.target),
    ...(changes && { changes }),
    volatile: options.volatile ?? false,
    verity: checksOf(store, options).verity,
    nosuid: options.nosuid ?? false,
  }
}

/** Makes the directory for the moment; a crash may have left it there. */
function makeScratch(store: MountStore, id: string): string {
  const path = join(mountPath(store.root, id), 'scratch')
  makeDirectory(path, [])
  return path
}

function checksOf(store: MountStore, { verify, verity, digest }: MountOptions): ImageChecks {
  return { verify: verify === true || digest !== undefined, verity: verity === true || store.verity === 'require' }
}

/** Notes what the new upper directory looks like, so that unmounting can tell whether anything was changed. */
function remember(store: MountStore, record: MountRecord): MountRecord {
  const remembered = { ...record, untouched: describeRoot(join(record.changes ?? '', 'upper')) }
  writeMountRecord(store, remembered)
  return remembered
}

function makeTarget(wanted: string, made: string[]): Pick<MountRecord, 'target' | 'ownsTarget'> {
  const path = resolve(wanted)
  const ownsTarget = makeDirectory(path, made)
  if (ownsTarget || statSync(path).isDirectory()) return { target: realpathSync(path), ownsTarget }
  throw new OnefoldError('USAGE', `Cannot mount on ${JSON.stringify(path)}: it is not a directory`)
}

/** Makes a directory and notes that; false when something is there already. */
function makeDirectory(path: string, made: string[]): boolean {
  try {
    mkdirSync(path)
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return false
    if (errnoOf(cause) !== 'ENOENT') throw cause
    throw new OnefoldError('NOT_FOUND', `Cannot make ${JSON.stringify(path)}: the directory above it does not exist`, {
      cause,
    })
  }
  made.push(path)
  return true
}

function placeOfChanges(
  store: MountStore,
  id: string,
  options: MountOptions,
): Pick<MountRecord, 'changes' | 'ownsChanges'> {
  if (options.upper === undefined) {
    return { changes: options.rw === true ? mountPath(store.root, id) : undefined, ownsChanges: true }
  }
  const changes = realPath(options.upper)
  // Nothing else would stop a second overlay from writing there, which the kernel calls undefined behaviour.
  const upper = join(changes, 'upper')
  const user = listMounts(store).find(
    (mount) => mount.upper === upper && mount.state !== 'kept' && mount.state !== 'gone',
  )
  if (user === undefined) return { changes, ownsChanges: false }
  throw new OnefoldError('BUSY', `Cannot keep changes in ${JSON.stringify(changes)}: mount ${user.id} does`)
}

function makeChanges(folder: string, made: string[]): Changes {
  const [upper, work] = [join(folder, 'upper'), join(folder, 'work')]
  makeDirectory(folder, made)
  const fresh = makeDirectory(upper, made)
  // What an earlier mount left in here was unfinished when the machine went down.
  removeTree(work)
  attempt('make', work, () => mkdirSync(work))
  return { upper: pathFromUtf8(upper), work: pathFromUtf8(work), fresh }
}
