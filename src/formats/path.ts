import { OnefoldError } from '../error.ts'
import { pathToUtf8 } from '../paths.ts'

/** NAME_MAX: bytes of one component. */
export const maxNameBytes = 255
/** PATH_MAX: bytes of a whole path, and of a symlink's target. */
export const maxPathBytes = 4096

const slash = 0x2f
const dot = 0x2e

/**
 * Returns a name from an archive as a path inside its tree: no leading, trailing or double slash, no `.` or `..`; '' is
 * the root. Throws BAD_FORMAT for a name that leads out of the tree, holds a NUL byte, or is longer than Linux takes.
 */
export function cleanPath(name: string): string {
  if (isClean(name)) return name
  const kept: string[] = []
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue
    if (part.length > maxNameBytes)
      throw badPath(name, `a component has ${part.length} bytes, at most 255 are possible`)
    if (part !== '..') kept.push(part)
    else if (kept.pop() === undefined) throw badPath(name, 'it leads out of its tree')
  }
  const path = kept.join('/')
  if (path.includes('\0')) throw badPath(name, 'it holds a NUL byte')
  if (path.length > maxPathBytes) throw badPath(name, `it has ${path.length} bytes, at most 4096 are possible`)
  return path
}

/** Tells whether a name is clean, as nearly every one is, in one pass and without an allocation. */
function isClean(name: string): boolean {
  const length = name.length
  if (length > maxPathBytes) return false
  let start = 0
  for (let at = 0; at < length; at++) {
    const char = name.charCodeAt(at)
    if (char === slash) {
      if (at === start || at - start > maxNameBytes) return false
      start = at + 1
    } else if (char === 0 || (char === dot && at === start)) return false
  }
  return length === 0 || (start < length && length - start <= maxNameBytes)
}

/** Returns a name as an error message shows it: quoted, shortened, its bytes read as UTF-8. */
export function quoteName(name: string): string {
  return JSON.stringify(pathToUtf8(name.slice(0, 200))) + (name.length > 200 ? '…' : '')
}

function badPath(name: string, found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot accept the name ${quoteName(name)}: ${found}`)
}
