import { parseJson } from '../json.ts'

/**
 * Members of a document of which a part is to change, known to us or not. The document has been read with `Fields`
 * before, which refused what does not fit; here whatever has another shape than expected counts as empty.
 */
export type DocumentMembers = Record<string, unknown>

export function membersIn(document: Uint8Array): DocumentMembers {
  return membersOf(parseJson(document, 'a document that is to be changed'))
}

/** Returns a copy of an object's members. */
export function membersOf(value: unknown): DocumentMembers {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
