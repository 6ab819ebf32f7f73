import assert from 'node:assert/strict'
import fc from 'fast-check'
import { hasCode } from '../../src/error.ts'
import { parseMountinfo } from '../../src/linux/mountinfo.ts'

/** Lines like those of the kernel with bytes changed: a list of mounts, or BAD_FORMAT. */
export function fuzzMountinfo(seed: number, rounds: number): void {
  const line = '36 35 98:0 /a\\040b /mnt\\134x rw,noatime master:1 shared:2 - overlay onefold:1 ro,lowerdir+=/x\\054y'
  const edit = fc.tuple(fc.nat({ max: line.length }), fc.nat({ max: 4 }), fc.string({ maxLength: 3 }))
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 6 }), (edits) => {
      let text = line
      for (const [at, cut, put] of edits) text = text.slice(0, at) + put + text.slice(at + cut)
      try {
        for (const mount of parseMountinfo(text)) assert.ok(Number.isSafeInteger(mount.id))
      } catch (error) {
        if (!hasCode(error, 'BAD_FORMAT')) throw error
      }
    }),
    { seed, numRuns: rounds },
  )
}
