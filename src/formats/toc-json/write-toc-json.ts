/** Writes tables as Go's encoding/json does, with members in the order of the reference writers' structures. */
import { isUtf8 } from 'node:buffer'
import { OnefoldError } from '../../error.ts'
import { pathToBytes } from '../../paths.ts'
import type { EntryType } from '../entry.ts'
import { quoteName } from '../path.ts'

export const lossHint =
  'Convert to a format without a table, such as tar+zstd; with --lossy the nearest that can be held is written.'

/** Members of an entry; one that is 0, '' or undefined is left out. */
export type TocJsonEntry = Readonly<Record<string, number | string | Readonly<Record<string, string>> | undefined>>

export const typeNames: Readonly<Record<EntryType, string | undefined>> = {
  file: 'reg',
  directory: 'dir',
  symlink: 'symlink',
  hardlink: 'hardlink',
  char: 'char',
  block: 'block',
  fifo: 'fifo',
  socket: undefined,
}

/** Returns bytes as a JSON string's text. Throws UNSUPPORTED where they are no UTF-8: no table can hold them. */
export function jsonText(bytes: string, what: string): string {
  const buffer = pathToBytes(bytes)
  const text = buffer.toString()
  if (isUtf8(buffer) && !text.includes('\ufffd')) return text
  throw new OnefoldError('UNSUPPORTED', `Cannot list ${quoteName(bytes)} in a table of contents: ${what} is no UTF-8`, {
    hint: lossHint,
  })
}

/** Returns values in base64 by name, names in byte order. */
export function jsonXattrs(xattrs: ReadonlyMap<string, Buffer>): Record<string, string> | undefined {
  if (xattrs.size === 0) return undefined
  const members: Record<string, string> = Object.create(null)
  for (const name of [...xattrs.keys()].toSorted())
    members[jsonText(name, 'the name of an xattr')] = xattrs.get(name)!.toString('base64')
  return members
}

/** Returns JSON as Go writes it: it escapes what could end a script in HTML, and two line ends of JavaScript. */
export function toGoJson(value: unknown, indent = ''): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export function withoutEmpty(entry: TocJsonEntry): TocJsonEntry {
  const kept: Record<string, TocJsonEntry[string]> = {}
  for (const key in entry) {
    const value = entry[key]
    if (value !== undefined && value !== 0 && value !== '') kept[key] = value
  }
  return kept
}
