import assert from 'node:assert/strict'
import fc from 'fast-check'
import { OnefoldError } from '../../src/error.ts'
import { parseDump } from '../../src/formats/dump/read-dump.ts'
import { writeDump } from '../../src/formats/dump/write-dump.ts'
import { writeErofs } from '../../src/formats/composefs/write-image.ts'
import { outline, randomTree } from '../fixtures/random-tree.ts'

/**
 * Dumps of random trees with bytes changed and lines moved: a tree or an OnefoldError. A tree that was read can be dumped, which
 * reads as the same tree.
 */
export function fuzzDump(seed: number, rounds: number): void {
  fc.assert(
    fc.property(randomTree({ ambiguous: true, foreignPaths: true }), edits, fc.boolean(), (tree, changes, compat) => {
      let text = Buffer.concat([...writeDump(tree)]).toString('latin1')
      for (const change of changes) text = apply(text, change)
      const read = attempt(() => parseDump(Buffer.from(text, 'latin1'), { compat }))
      if (read === undefined) return
      const dump = attempt(() => Buffer.concat([...writeDump(read)]))
      if (dump === undefined) return
      const again = parseDump(dump, { compat: true })
      assert.deepEqual(outline(again), outline(read))
      assert.deepEqual(writeErofs(again), writeErofs(read))
    }),
    { seed, numRuns: rounds },
  )
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
    assert.ok(['BAD_FORMAT', 'LIMIT'].includes(error.code), error.code)
    return undefined
  }
}

type Edit = readonly [kind: 'insert' | 'delete' | 'line', at: number, text: string]

const piece = fc.constantFrom(
  ...Array.from(' -@=/.\\\n\0\t+9'),
  '\\x00',
  '\\x2f',
  '\\n',
  '//',
  '-5',
  ' 99999999999999999999 ',
  '@100644',
  '..',
  '\xff',
)
const edits = fc.array(
  fc.tuple(fc.constantFrom('insert' as const, 'delete' as const, 'line' as const), fc.nat(), piece),
  { minLength: 1, maxLength: 3 },
)

function apply(text: string, [kind, where, put]: Edit): string {
  const at = where % (text.length + 1)
  switch (kind) {
    case 'insert':
      return text.slice(0, at) + put + text.slice(at)
    case 'delete':
      return text.slice(0, at) + text.slice(at + 1)
    case 'line': {
      const lines = text.split('\n')
      const [moved = ''] = lines.splice(where % lines.length, 1)
      lines.splice(at % (lines.length + 1), 0, moved)
      return lines.join('\n')
    }
  }
}
