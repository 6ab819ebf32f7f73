import { OnefoldError } from '../error.ts'
import type { Binding } from './binding.ts'
import type { Claim, Format } from './format.ts'
import type { Descriptor } from './oci/descriptor.ts'

/**
 * Returns the binding of an index in a layer's descriptor, in whatever format; undefined where it says nothing. Throws
 * BAD_FORMAT when it binds two: one digest would name two trees.
 */
export function bindingOn(layer: Descriptor, formats: readonly Format[]): Binding | undefined {
  const bindings = formats.flatMap(({ binding }) => binding?.(layer) ?? [])
  if (bindings.length < 2) return bindings[0]
  throw new OnefoldError(
    'BAD_FORMAT',
    'Cannot use the table of contents of a layer: the tables of two formats are bound to one layer',
  )
}

const order = { layer: 0, image: 1, nothing: 2 } as const

/** Sorts the claims on one layer as they are tried: the one that is vouched for best comes first. */
export function claimsInOrder(claims: readonly Claim[]): Claim[] {
  return claims.toSorted((a, b) => order[a.boundBy] - order[b.boundBy])
}
