import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { GarbageObjects } from './garbage-objects.ts'
import type { GarbageFile } from './garbage-file.ts'

const plain = { noNullPrototype: true }
const extent = fc.record({ physical: fc.maxSafeNat(), length: fc.nat() }, plain)
const file: fc.Arbitrary<GarbageFile> = fc.record(
  {
    digest: fc.stringMatching(/^[0-9a-f]{64}$/),
    size: fc.maxSafeNat(),
    own: fc.maxSafeNat(),
    shared: fc.array(extent, { maxLength: 2 }),
  },
  plain,
)

test('objects are taken off in the order of a stack, as they were put on', () => {
  fc.assert(
    fc.property(fc.array(fc.option(file)), (steps) => {
      const [packed, files] = [new GarbageObjects(), [] as GarbageFile[]]
      for (const step of steps) {
        if (step === null) assert.deepEqual(packed.pop(), files.pop())
        else {
          packed.push(step)
          files.push(step)
        }
        assert.equal(packed.length, files.length)
        assert.equal(packed.lastFolder, files.at(-1)?.digest.slice(0, 2))
      }
      assert.deepEqual([...packed], files)
    }),
  )
})

test('there is room for any number', () => {
  const packed = new GarbageObjects()
  const count = 5000
  const digestOf = (n: number): string => n.toString(16).padStart(64, '0')
  for (let n = 0; n < count; n++) packed.push({ digest: digestOf(n), size: n, own: 2 * n, shared: [] })
  assert.equal([...packed].length, count)
  for (let n = count - 1; n >= 0; n--)
    assert.deepEqual(packed.pop(), { digest: digestOf(n), size: n, own: 2 * n, shared: [] })
  assert.equal(packed.pop(), undefined)
})
