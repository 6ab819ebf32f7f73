import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { OnefoldError, hasCode } from '../error.ts'
import { unmount } from '../linux/mount-calls.ts'
import { type Mount as TableEntry, readMounts } from '../linux/mountinfo.ts'
import { pathToUtf8 } from '../paths.ts'
import { findMount, noMount } from './find-mount.ts'
import { isUntouched } from './copy-root.ts'
import { type MountRecord, mountPath, mountIds, mountsPath, readMountRecord } from '../store/mount-record.ts'
import {
  type MountStore,
  lockMount,
  lockMounts,
  removeDirectory,
  removeMountFolder,
  removeTree,
  writeMountRecord,
} from './mount-state.ts'
import { entriesOf, statusOf } from './mount-status.ts'

export interface UnmountOptions {
  /** Throw changes away; without it they are kept, and `mountImage({ upper: id })` brings them back. */
  readonly discard?: boolean | undefined
  /** Take the mount out of sight even while files in it are open. */
  readonly lazy?: boolean | undefined
}

export interface Unmounted {
  readonly id: string
  /** The upper directory with the changes, where there are any left. */
  readonly kept: string | undefined
}

/** Takes a mount away, by its id or by where it is mounted, and everything we made for it but changes. */
export function unmountImage(store: MountStore, which: string, options: UnmountOptions = {}): Unmounted {
  if (options.discard === true && options.lazy === true) {
    throw new OnefoldError('USAGE', 'Cannot unmount lazily and discard changes: they may be in use for a while yet')
  }
  using _mounts = lockMounts(store, 'shared')
  const { id } = findMount(store, which, 'unmount')
  using _lock = lockMount(store, id)
  const record = readMountRecord(store.root, id)
  if (record === undefined) throw noMount(which, 'unmount')
  takeDown(store, record, options)
  return cleanUp(store, record, options)
}

/** Removes what is left of mounts that vanished without changes, or were never finished. Returns their ids. */
export function sweepMounts(store: MountStore): string[] {
  if (!existsSync(mountsPath(store.root))) return []
  using _mounts = lockMounts(store, 'exclusive')
  const table = readMounts()
  const gone = mountIds(store.root).filter((id) => {
    const record = readMountRecord(store.root, id)
    return record === undefined ? !holdsChanges(store, id) : statusOf(store, record, table).state === 'gone'
  })
  for (const id of gone) {
    const record = readMountRecord(store.root, id)
    if (record?.ownsTarget === true) removeDirectory(record.target)
    removeMountFolder(store, id)
  }
  return gone
}

function holdsChanges(store: MountStore, id: string): boolean {
  const upper = join(mountPath(store.root, id), 'upper')
  return existsSync(upper) && readdirSync(upper).length > 0
}

/** All copies of the mount that our mount table shows, the last first. */
function takeDown(store: MountStore, record: MountRecord, options: UnmountOptions): void {
  const table = readMounts()
  const entries = entriesOf(record.id, table)
  if (entries.length === 0 && statusOf(store, record, table).state === 'elsewhere') {
    throw new OnefoldError('BUSY', `Cannot unmount ${record.id}: it is in use outside of this mount namespace`, {
      hint: `it was mounted in ${record.namespace}, on ${JSON.stringify(record.target)}`,
    })
  }
  for (const entry of entries.toReversed()) {
    if (options.lazy !== true) refuseCovered(entry, table)
    unmountEntry(entry, options)
  }
}

/** umount(2) takes paths: with something else mounted over ours it would take away that. */
function refuseCovered(entry: TableEntry, table: readonly TableEntry[]): void {
  const above = table.find((other) => other.parent === entry.id)
  if (above === undefined) return
  throw new OnefoldError(
    'BUSY',
    `Cannot unmount ${JSON.stringify(pathToUtf8(entry.target))}: ${above.type} is mounted on ${JSON.stringify(pathToUtf8(above.target))}`,
    { hint: 'unmount that first, or use --lazy to take away both' },
  )
}

function unmountEntry(entry: TableEntry, options: UnmountOptions): void {
  try {
    unmount(entry.target, { lazy: options.lazy ?? false })
  } catch (cause) {
    if (!hasCode(cause, 'BUSY')) throw cause
    throw new OnefoldError(
      'BUSY',
      `Cannot unmount ${JSON.stringify(pathToUtf8(entry.target))}: files or directories in it are in use`,
      {
        cause,
        hint: `end the processes that use it (fuser -vm ${pathToUtf8(entry.target)} lists them), or use --lazy`,
      },
    )
  }
}

function cleanUp(store: MountStore, record: MountRecord, options: UnmountOptions): Unmounted {
  const { id, changes } = record
  if (record.ownsTarget) removeDirectory(record.target)
  if (changes !== undefined && options.lazy === true) {
    // The kernel may be at work in there for a while: nothing is removed yet.
    writeMountRecord(store, { ...record, ownsTarget: false, state: 'lazy' })
    return { id, kept: join(changes, 'upper') }
  }
  const kept = changes === undefined ? undefined : keepChanges(record, changes, options)
  if (kept !== undefined && record.ownsChanges)
    writeMountRecord(store, { ...record, ownsTarget: false, state: 'unmounted' })
  else removeMountFolder(store, id)
  return { id, kept }
}

/** The upper directory, or undefined when there is nothing in it to keep. */
function keepChanges(record: MountRecord, changes: string, options: UnmountOptions): string | undefined {
  const upper = join(changes, 'upper')
  removeTree(join(changes, 'work'))
  if (options.discard !== true) return isUntouched(upper, record.untouched) ? undefined : upper
  removeTree(upper)
  return undefined
}
