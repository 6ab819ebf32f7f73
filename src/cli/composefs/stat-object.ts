import { type Stats, statSync } from 'node:fs'
import { errnoOf } from '../../error.ts'
import { pathToBytes } from '../../paths.ts'

/**
 * Looks up an object below a directory of objects; undefined when it is not there, or cannot be reached. A place that leads
 * out of the directory, which an image can name, is never looked up. Paths have one char per byte.
 */
export function statObject(directory: string, place: string): Stats | undefined {
  if (place.split('/').includes('..')) return undefined
  try {
    return statSync(pathToBytes(`${directory}/${place}`), { throwIfNoEntry: false })
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return undefined
  }
}
