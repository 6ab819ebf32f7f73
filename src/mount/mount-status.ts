import type { VerityDigest } from '../digest.ts'
import { hasCode } from '../error.ts'
import { isOpenElsewhere } from '../linux/flock.ts'
import { type Mount as TableEntry, readMounts } from '../linux/mountinfo.ts'
import { pathFromUtf8, pathToUtf8 } from '../paths.ts'
import { bootId, mountNamespace } from './this-boot.ts'
import { sourcePrefix } from './mount-plan.ts'
import { type MountRecord, readMountRecords } from '../store/mount-record.ts'
import type { MountStore } from './mount-state.ts'

/**
 * - `mounted`: shows in our mount table.
 * - `elsewhere`: does not, but somebody has the image open: a mount in another mount namespace, or one that was taken
 *   down lazily and is still in use.
 * - `kept`: not mounted; its changes lie in the store and can be mounted again.
 * - `gone`: vanished without us (umount(8), reboot), with nothing in the store that would be worth keeping.
 */
export type MountState = 'mounted' | 'elsewhere' | 'kept' | 'gone'

export interface MountStatus {
  readonly id: string
  readonly image: VerityDigest
  readonly name: string
  readonly state: MountState
  readonly rw: boolean
  /** Directories that it is mounted on now, in the order it was made; else the one it was on last. */
  readonly targets: readonly string[]
  /** The upper directory, which holds the changes. */
  readonly upper: string | undefined
}

/** Every mount this store made and remembers, by id. */
export function listMounts(store: MountStore): MountStatus[] {
  const table = readMounts()
  return readMountRecords(store.root).map((record) => statusOf(store, record, table))
}

export function statusOf(store: MountStore, record: MountRecord, table: readonly TableEntry[]): MountStatus {
  const entries = entriesOf(record.id, table)
  return {
    id: record.id,
    image: record.image,
    name: record.name,
    state: stateOf(store, record, entries),
    rw: record.changes !== undefined,
    targets: entries.length > 0 ? entries.map((entry) => pathToUtf8(entry.target)) : [record.target],
    upper: record.changes && `${record.changes}/upper`,
  }
}

/** The mount and its copies (bind mounts) in our mount table. */
export function entriesOf(id: string, table: readonly TableEntry[]): TableEntry[] {
  return table.filter((entry) => entry.type === 'overlay' && entry.source === `${sourcePrefix}${id}`)
}

function stateOf(store: MountStore, record: MountRecord, entries: readonly TableEntry[]): MountState {
  if (entries.length > 0) return 'mounted'
  if (mayLive(record) && isInUse(store, record.image)) return 'elsewhere'
  return record.changes !== undefined && record.ownsChanges ? 'kept' : 'gone'
}

/** A mount that does not show here can only live on if it was made in another namespace or taken down lazily. */
function mayLive(record: MountRecord): boolean {
  if (record.boot !== bootId() || record.state === 'unmounted') return false
  return record.state === 'lazy' || record.namespace !== mountNamespace()
}

function isInUse(store: MountStore, image: VerityDigest): boolean {
  try {
    return isOpenElsewhere(pathFromUtf8(store.imagePath(image)))
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return false
    throw error
  }
}
