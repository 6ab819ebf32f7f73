import { OnefoldError, hasCode } from '../error.ts'
import { readMounts } from '../linux/mountinfo.ts'
import { pathToUtf8 } from '../paths.ts'
import { type MountRecord, isMountId, readMountRecord, readMountRecords } from '../store/mount-record.ts'
import { type MountStore, realPath } from './mount-state.ts'
import { entriesOf } from './mount-status.ts'

/** A mount by its id or by where it is mounted. `verb` is what it is wanted for: NOT_FOUND says so. */
export function findMount(store: MountStore, which: string, verb: string): MountRecord {
  const own = isMountId(which) ? readMountRecord(store.root, which) : undefined
  if (own !== undefined) return own
  const [records, table] = [readMountRecords(store.root), readMounts()]
  const target = realPath(which)
  const shown = records.filter((record) =>
    entriesOf(record.id, table).some((entry) => pathToUtf8(entry.target) === target),
  )
  const last = (record: MountRecord): number => Math.max(...entriesOf(record.id, table).map((entry) => entry.id))
  // One mounted over the other on the same directory: the upper one goes first.
  const found =
    shown.sort((a, b) => last(a) - last(b)).at(-1) ??
    records.find((record) => record.state !== 'unmounted' && record.target === target)
  if (found === undefined) throw noMount(which, verb)
  return found
}

/** Whether the text is the id of a mount, or a path where one is. */
export function isMountOf(store: MountStore, text: string): boolean {
  if (!isMountId(text) && !/^(?:\/|\.{1,2}(?:\/|$))/.test(text)) return false
  try {
    findMount(store, text, 'find')
    return true
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return false
    throw error
  }
}

export function noMount(which: string, verb: string): OnefoldError {
  return new OnefoldError(
    'NOT_FOUND',
    `Cannot ${verb} ${JSON.stringify(which)}: no mount of this store has that id or directory`,
    { hint: 'mounts --all lists them' },
  )
}
