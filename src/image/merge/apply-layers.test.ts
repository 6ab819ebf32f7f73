import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type Example, formatTree, readExamples } from '../../../test/fixtures/tree-text.ts'
import { Merge } from './apply-layers.ts'
import { composeImage } from '../stream-image.ts'
import type { Directory } from '../../formats/tree.ts'

const page = new URL('../../../docs/tree.md', import.meta.url)

function mergeExample({ keepSelinux, layers }: Example): Directory {
  const merge = new Merge({ keepSelinux })
  for (const { kind, entries } of layers) merge.apply(entries, kind)
  return merge.finish()
}

describe('docs/tree.md', () => {
  const examples = readExamples(readFileSync(page, 'utf8'))
  test('has its examples, each with a title of its own', () => {
    assert.ok(examples.length > 40)
    assert.equal(new Set(examples.map(({ title }) => title)).size, examples.length)
  })
  for (const example of examples)
    test(example.title, () => {
      if (example.refused !== undefined) {
        assert.throws(() => mergeExample(example), { name: 'OnefoldError', code: example.refused })
        return
      }
      const root = mergeExample(example)
      assert.deepEqual(formatTree(root), example.tree)
      assert.equal(composeImage(root).digest, example.image)
    })
})
