/**
 * `mounts/<id>/mount.json`: what the store remembers of a mount, which outlives the command that made it. Mounting
 * writes and reads it; garbage collection and fsck read it, since changes that were kept need the image below them.
 *
 *     version                 1
 *     id                      the name of the folder, 12 hex digits
 *     image                   digest of the composefs image that is mounted
 *     name                    what the user called it
 *     target, ownsTarget      where it is mounted, and whether that directory was made for it
 *     changes, ownsChanges    the folder with `upper` and `work` of a writable mount, and whether it is the mount's own
 *     untouched               digest of how the root of the changes looked when it was new
 *     state                   mounted | unmounted | lazy
 *     boot, namespace         the boot, and the mount namespace of it, that the mount was made in
 *
 * A folder without a record is a mount that is just being made or removed. So is one whose record is empty: records of
 * mounts without changes are not synced, and a power cut may leave a name without bytes. Every other file that is no
 * record could be one that was damaged: nobody may take it for none.
 */
import { lstatSync } from 'node:fs'
import { type VerityDigest, parseVerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { type Fields, readJson } from '../formats/json.ts'
import { jsonBytes } from './records/image-record.ts'
import { fileError, listFolder, readWhole } from './store-files.ts'
import { mountsFolder } from './store-layout.ts'

export interface MountRecord {
  /** 12 hex digits. */
  readonly id: string
  readonly image: VerityDigest
  /** Name by which the user called the image. */
  readonly name: string
  /** Directory on which it is mounted, or was last. */
  readonly target: string
  /** The target directory was made by the mount, and goes with it. */
  readonly ownsTarget: boolean
  /** The folder with `upper` and `work`, of a writable mount. */
  readonly changes: string | undefined
  /** That folder is the mount's own, in the store. */
  readonly ownsChanges: boolean
  /**
   * Digest of how the root of the changes looked when it was new: with nothing in it and this unchanged, nothing was
   * changed.
   */
  readonly untouched: string | undefined
  /** `unmounted`: taken down in order, changes kept. `lazy`: taken down while in use, which may go on. */
  readonly state: 'mounted' | 'unmounted' | 'lazy'
  /** The boot, and the mount namespace of it, that the mount was made in. */
  readonly boot: string
  readonly namespace: string
}

const version = 1
const states = ['mounted', 'unmounted', 'lazy'] as const
/** Limits far above what a few paths of 4 KiB can take. */
const limits = { bytes: 1024 * 1024, depth: 8, values: 1000 }

export function isMountId(text: string): boolean {
  return /^[0-9a-f]{12}$/.test(text)
}

export function mountsPath(root: string): string {
  return `${root}/${mountsFolder}`
}

export function mountPath(root: string, id: string): string {
  return `${root}/${mountsFolder}/${id}`
}

/** Name of the record in the folder of a mount. */
export const mountFile = 'mount.json'

export function formatMountRecord(record: MountRecord): Uint8Array {
  return jsonBytes({ version, ...record })
}

/**
 * Reads a record; CORRUPT for anything that `formatMountRecord` did not write. `id` is the name of the folder it was
 * found in.
 */
export function parseMountRecord(bytes: Uint8Array, id: string): MountRecord {
  try {
    return readFields(readJson(bytes, `the record of mount ${id}`, limits), id)
  } catch (cause) {
    throw unreadable(cause, id)
  }
}

function readFields(fields: Fields, id: string): MountRecord {
  if (fields.size('version') !== version) throw fields.bad('version', String(version))
  if (fields.text('id') !== id) throw fields.bad('id', id)
  const state = states.find((known) => known === fields.text('state'))
  if (state === undefined) throw fields.bad('state', `one of ${states.join(', ')}`)
  return {
    id,
    image: readImage(fields),
    name: fields.text('name'),
    target: fields.text('target'),
    ownsTarget: fields.boolean('ownsTarget') ?? false,
    changes: fields.string('changes'),
    ownsChanges: fields.boolean('ownsChanges') ?? false,
    untouched: fields.string('untouched'),
    state,
    boot: fields.text('boot'),
    namespace: fields.text('namespace'),
  }
}

function readImage(fields: Fields): VerityDigest {
  try {
    return parseVerityDigest(fields.text('image'))
  } catch (cause) {
    throw fields.bad('image', 'an fs-verity digest', cause)
  }
}

/**
 * Ids of all mounts that have a folder in the store at `root`, in order. Other names are strays, which fsck reports.
 */
export function mountIds(root: string): string[] {
  const folder = mountsPath(root)
  return lstatSync(folder, { throwIfNoEntry: false }) === undefined ? [] : listFolder(folder).filter(isMountId)
}

/** The record of a mount, or undefined when there is none. Throws CORRUPT for one that cannot be read. */
export function readMountRecord(root: string, id: string): MountRecord | undefined {
  const bytes = readBytes(root, id)
  return bytes === undefined || bytes.length === 0 ? undefined : parseMountRecord(bytes, id)
}

function readBytes(root: string, id: string): Uint8Array | undefined {
  const path = mountPath(root, id)
  const what = `the record of mount ${id}`
  try {
    const folder = lstatSync(path, { throwIfNoEntry: false })
    if (folder === undefined) return undefined
    if (folder.isDirectory()) return readWhole(`${path}/${mountFile}`, what, limits.bytes)
    throw new OnefoldError('CORRUPT', `Cannot read ${what}: "${path}" is not a folder`)
  } catch (cause) {
    throw unreadable(fileError('read', path, cause), id)
  }
}

/** Records of all mounts, by id. Throws CORRUPT when there is one that cannot be read. */
export function readMountRecords(root: string): MountRecord[] {
  return mountIds(root).flatMap((id) => readMountRecord(root, id) ?? [])
}

/** Whether the mount keeps changes: they mean nothing without the image below them. */
export function needsImage({ changes }: MountRecord): boolean {
  return changes !== undefined
}

/**
 * The error for a record that cannot be read: damage, unless a disk or a permission was in the way, which says nothing.
 */
function unreadable(cause: unknown, id: string): unknown {
  if (!(cause instanceof OnefoldError) || cause.code === 'IO' || cause.code === 'DENIED') return cause
  return new OnefoldError('CORRUPT', cause.message, {
    cause,
    hint: `Unmount it with umount(8) if it is mounted, save what you need of mounts/${id}/upper in the store, and delete mounts/${id}.`,
  })
}
