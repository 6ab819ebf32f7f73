import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { OverlayStack, Refused } from '../fixtures/overlayfs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { type Example, formatTree, readExamples } from '../fixtures/tree-text.ts'
import { unpackWithUmoci } from '../fixtures/umoci.ts'
import { emptyDirectory } from '../../src/formats/tree.ts'

/** What docs/tree.md says of the peers has to be true: where it says nothing they agree, where it says so they do not. */
const examples = readExamples(readFileSync(new URL('../../docs/tree.md', import.meta.url), 'utf8'))

function compareWith(peer: string, skip: false | string, show: (folder: string, example: Example) => string[]): void {
  describe(`the examples of docs/tree.md in ${peer}`, { skip }, () => {
    for (const example of examples) {
      const says = example.peers.get(peer) ?? 'agrees'
      if (says.startsWith('cannot')) continue
      test(`${example.title}: ${says}`, () => {
        using folder = scratch('peer')
        const ours = example.tree ?? 'refused'
        let theirs: string[] | 'refused'
        try {
          theirs = show(folder.path, example)
        } catch (error) {
          if (!(error instanceof Refused)) throw error
          theirs = 'refused'
        }
        if (says === 'agrees') assert.deepEqual(theirs, ours)
        else if (says === 'refuses') assert.equal(theirs, 'refused')
        else assert.notDeepEqual(theirs, ours)
      })
    }
  })
}

compareWith('overlayfs', needsRoot, (folder, { layers }) => {
  const stack = new OverlayStack(folder)
  let root = emptyDirectory()
  for (const { entries } of layers) {
    const layer = stack.layer()
    for (const entry of entries) layer.add(entry)
    root = stack.close(layer)
  }
  return formatTree(root)
})

compareWith('umoci', needsRoot || needsPrograms('umoci'), (folder, { layers }) => {
  try {
    return formatTree(
      unpackWithUmoci(
        folder,
        layers.map(({ entries }) => entries),
      ),
    )
  } catch (error) {
    throw isExit(error) ? new Refused('umoci refuses it', { cause: error }) : error
  }
})

/** The program ran, and ended with a failure. */
function isExit(error: unknown): boolean {
  return error instanceof Error && 'status' in error && typeof error.status === 'number'
}
