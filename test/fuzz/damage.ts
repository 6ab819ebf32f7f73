import fc from 'fast-check'

/** One wound to some bytes: overwritten, cut out, put in, or repeated. */
export type Damage =
  | { readonly kind: 'set'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'cut'; readonly at: number; readonly length: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'repeat'; readonly at: number; readonly length: number }

/** Places are fractions of the length, so that they make sense for any bytes. */
export const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({
    kind: fc.constant('set' as const),
    at: fraction(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
  }),
  fc.record({ kind: fc.constant('cut' as const), at: fraction(), length: fc.nat(700) }),
  fc.record({ kind: fc.constant('insert' as const), at: fraction(), bytes: fc.uint8Array({ maxLength: 600 }) }),
  fc.record({ kind: fc.constant('repeat' as const), at: fraction(), length: fc.nat(1200) }),
)

function fraction(): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 2 ** 20 }).map((n) => n / 2 ** 20)
}

export function hurt(bytes: Buffer, wounds: readonly Damage[]): Buffer {
  return wounds.reduce((current, wound) => {
    const at = Math.floor(wound.at * current.length)
    const [before, after] = [current.subarray(0, at), current.subarray(at)]
    switch (wound.kind) {
      case 'set':
        return Buffer.concat([before, wound.bytes, after.subarray(wound.bytes.length)])
      case 'cut':
        return Buffer.concat([before, after.subarray(wound.length)])
      case 'insert':
        return Buffer.concat([before, wound.bytes, after])
      case 'repeat':
        return Buffer.concat([before, after.subarray(0, wound.length), after])
    }
  }, bytes)
}
