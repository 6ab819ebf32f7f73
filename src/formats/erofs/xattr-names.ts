/** The names of extended attributes as EROFS stores them: the number of a prefix that it knows, and the rest. */
import { xattrFilterSeed, xattrPrefixLustre, xattrPrefixes } from './erofs-records.ts'
import { xxh32 } from './xxh32.ts'

export interface SplitName {
  /** The number of the prefix; 0 is none. */
  readonly index: number
  readonly suffix: string
}

/** Splits a full name at the first prefix that fits, in mkcomposefs' order. */
export function splitName(name: string): SplitName {
  for (const [index, prefix] of xattrPrefixes)
    if (name.startsWith(prefix)) return { index, suffix: name.slice(prefix.length) }
  return { index: 0, suffix: name }
}

/** The prefix with a number; undefined for a number that has none. */
export function prefixOf(index: number): string | undefined {
  if (index === 0) return ''
  if (index === xattrPrefixLustre) return 'lustre.'
  for (const [known, prefix] of xattrPrefixes) if (known === index) return prefix
  return undefined
}

/** The bit that a name clears in the name filter of its inode. */
export function filterBit({ index, suffix }: SplitName): number {
  return (1 << (xxh32(suffix, (xattrFilterSeed + index) | 0) & 31)) >>> 0
}
