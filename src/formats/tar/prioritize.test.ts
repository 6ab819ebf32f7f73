import assert from 'node:assert/strict'
import { test } from 'node:test'
import { entriesOf } from '../../../test/fixtures/tree-text.ts'
import { prioritize } from './prioritize.ts'

const entries = entriesOf(`
  file z "z"
  dir /
  dir a
  dir a/b
  file a/b/c "c"
  link b/l a/b/c
  link m b/l
  dir b
`)

function paths(...wanted: string[]): { order: string[]; count: number; missing: readonly string[] } {
  const { order, count, missing } = prioritize(entries, wanted)
  assert.deepEqual(
    order.toSorted((x, y) => x - y),
    [...entries.keys()],
  )
  return { order: order.map((index) => entries[index]!.path), count, missing }
}

test('wanted files go first, after what they need', () => {
  const rest = ['z', 'a', 'a/b', 'a/b/c', 'b/l', 'm', 'b']
  assert.deepEqual(paths(), { order: ['z', '', ...rest.slice(1)], count: 0, missing: [] })
  assert.deepEqual(paths('./z', 'gone', 'z'), { order: ['', ...rest], count: 2, missing: ['gone'] })
  assert.deepEqual(paths('/m'), { order: ['', 'a', 'a/b', 'b', 'a/b/c', 'b/l', 'm', 'z'], count: 7, missing: [] })
  assert.deepEqual(paths('a/b/c', 'z').order.slice(0, 5), ['', 'a', 'a/b', 'a/b/c', 'z'])
})

test('links in a circle', () => {
  const circle = entriesOf(`
    link a b
    link b a
  `)
  assert.deepEqual(
    prioritize(circle, ['a']).order.toSorted((x, y) => x - y),
    [0, 1],
  )
})
