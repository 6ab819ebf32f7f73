/**
 * `checked.json`: since when nothing but what has changed needs to be read again. Written after a check that read
 * everything and found nothing; losing it costs the time of a whole check.
 *
 *     hashed    time of change (ctime, milliseconds) below which every object and image was found to be what its name says
 *     rebuilt   the same for recipes whose tars were built again; absent: never
 *
 * Both are ctimes of a file made when that check began, so that it is the clock of the file system that counts. The
 * kernel sets a ctime whenever a file is written, moved or given another mode, and nobody else can; a store that is
 * copied or restored has new ones.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, fstatSync, openSync, rmSync } from 'node:fs'
import { OnefoldError } from '../../error.ts'
import { readJson } from '../../formats/json.ts'
import { fileError, readWhole, replaceFile } from '../store-files.ts'
import { checkedFile, tmpFolder } from '../store-layout.ts'
import { jsonBytes } from '../records/image-record.ts'

export interface CheckedState {
  readonly hashed: number
  readonly rebuilt: number | undefined
  /** Time as `hashed`, of composefs images, where they are known to be good for less long than objects. */
  readonly images?: number
}

/** Reads the state; undefined when it is missing, damaged, or of a time to come. */
export function readChecked(root: string, now: number): CheckedState | undefined {
  try {
    const bytes = readWhole(`${root}/${checkedFile}`, 'the state of checks', 4096)
    if (bytes === undefined) return undefined
    const fields = readJson(bytes, 'the state of checks')
    const state = {
      hashed: fields.size('hashed') / 1000,
      rebuilt: fields.has('rebuilt') ? fields.size('rebuilt') / 1000 : undefined,
    }
    return state.hashed <= now ? state : undefined
  } catch (error) {
    if (error instanceof OnefoldError) return undefined
    throw error
  }
}

/** Writes the state in whole microseconds, rounded down: what changed within one is read again. */
export function writeChecked(root: string, { hashed, rebuilt }: CheckedState): void {
  const state = {
    hashed: Math.floor(hashed * 1000),
    ...(rebuilt === undefined ? {} : { rebuilt: Math.floor(rebuilt * 1000) }),
  }
  replaceFile(`${root}/${checkedFile}`, jsonBytes(state), temporaryFile(root))
}

/** The time of the file system now; undefined where it cannot be written to. */
export function fileTime(root: string): number | undefined {
  const path = temporaryFile(root)
  try {
    const fd = openSync(path, 'wx', 0o644)
    try {
      return fstatSync(fd).ctimeMs
    } finally {
      closeSync(fd)
      rmSync(path)
    }
  } catch (error) {
    const own = fileError('write', path, error)
    if (own.code === 'DENIED' || own.code === 'IO') return undefined
    throw own
  }
}

/** A path below `tmp`, as those of tags: what a killed process leaves goes with the next collection. */
export function temporaryFile(root: string): string {
  return `${root}/${tmpFolder}/ref-${randomUUID()}`
}
