import assert from 'node:assert/strict'
import fc from 'fast-check'
import { hasCode } from '../../src/error.ts'
import { formatReference, parseReference } from '../../src/sources/registry/reference.ts'

const valid = `localhost:5000/team/a-b/c__d.e:v1.2@sha256:${'0123456789abcdef'.repeat(4)}`

/** References with parts changed, and text out of their own characters: one that reads back, or BAD_NAME. */
export function fuzzReference(seed: number, rounds: number): void {
  const part = fc.constantFrom('/', ':', '@', '[', ']', '.', '-', '__', 'A', 'a', '0', 'localhost', 'docker.io', '::1')
  const edit = fc.tuple(fc.nat({ max: valid.length }), fc.nat({ max: 8 }), part)
  const edited = fc.array(edit, { maxLength: 4 }).map((edits) => {
    let text = valid
    for (const [at, cut, put] of edits) text = text.slice(0, at) + put + text.slice(at + cut)
    return text
  })
  const text = fc.oneof(
    edited,
    fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
    fc.string(),
  )
  fc.assert(fc.property(text, checkReference), { seed, numRuns: rounds })
}

function checkReference(text: string): void {
  try {
    const reference = parseReference(text)
    assert.deepEqual(parseReference(formatReference(reference)), reference)
    assert.ok(URL.canParse(`https://${reference.host}/v2/${reference.repository}/manifests/x`))
  } catch (error) {
    if (!hasCode(error, 'BAD_NAME')) throw error
  }
}
