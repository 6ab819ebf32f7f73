import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseChallenges } from '../../src/sources/registry/challenge.ts'

/** Pieces of WWW-Authenticate headers in any order: a list, never an error. */
export function fuzzChallenges(seed: number, rounds: number): void {
  const piece = fc.constantFrom('Bearer', 'Basic', 'a', '=', '"', ',', ' ', '\\', 'realm', '\t', 'é', '/', '==')
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 4 })), { maxLength: 60 }), (pieces) => {
      const header = pieces.join('')
      for (const { scheme, parameters } of parseChallenges(header)) {
        assert.match(scheme, /^[^\s,="]+$/)
        for (const [name, value] of parameters) assert.ok(name !== '' && value.length <= header.length)
      }
    }),
    { seed, numRuns: rounds },
  )
}
