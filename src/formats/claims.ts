import { OnefoldError } from '../error.ts'
import type { Binding } from './binding.ts'
import type { Claim, Format } from './format.ts'
import type { Descriptor } from './oci/descriptor.ts'

/**
 * The index that a layer's descriptor says there is, in whatever format; undefined where it says nothing. Throws BAD_FORMAT
 * when it binds two: one digest would name two trees.
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

/** The claims on one layer in the order in which they are tried: what vouches for them most comes first. */
export function claimsInOrder(claims: readonly Claim[]): Claim[] {
  return claims.toSorted((a, b) => order[a.boundBy] - order[b.boundBy])
}
