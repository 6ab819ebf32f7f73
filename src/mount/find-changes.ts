import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { OnefoldError } from '../error.ts'
import { findMount } from './find-mount.ts'
import { type MountRecord, mountPath } from '../store/mount-record.ts'
import { type MountStore } from './mount-state.ts'

export interface MountChanges {
  readonly mount: MountRecord
  /** The directory that holds what was changed; undefined when the mount is read-only. */
  readonly upper: string | undefined
}

/** Finds the changes of a mount, or a run: mounted still, or kept since. `verb` is what they are wanted for. */
export function findChanges(store: MountStore, which: string, verb: string): MountChanges {
  const mount = findMount(store, which, verb)
  if (mount.changes === undefined) return { mount, upper: undefined }
  const folder = mount.ownsChanges ? mountPath(store.root, mount.id) : mount.changes
  const upper = join(folder, 'upper')
  if (existsSync(upper)) return { mount, upper }
  throw new OnefoldError('NOT_FOUND', `Cannot ${verb} ${mount.id}: its changes in ${JSON.stringify(upper)} are gone`)
}
