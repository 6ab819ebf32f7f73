import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../error.ts'
import { cleanPath } from './path.ts'

const long = 'n'.repeat(255)

for (const [name, path] of [
  ['', ''],
  ['.', ''],
  ['./', ''],
  ['/', ''],
  ['a/..', ''],
  ['a', 'a'],
  ['./a', 'a'],
  ['/a/b', 'a/b'],
  ['//a///b//', 'a/b'],
  ['a/./b/.', 'a/b'],
  ['a/../b', 'b'],
  ['a/b/../../c', 'c'],
  ['...', '...'],
  ['.a', '.a'],
  ['a./b..', 'a./b..'],
  ['..a', '..a'],
  ['\xff\n', '\xff\n'],
  [long, long],
  [`${long}/${long}`, `${long}/${long}`],
] as const)
  test(`${JSON.stringify(name.slice(0, 20))} is ${JSON.stringify(path.slice(0, 20))}`, () =>
    assert.equal(cleanPath(name), path))

for (const [name, found] of [
  ['..', 'leads out'],
  ['../x', 'leads out'],
  ['/../x', 'leads out'],
  ['a/../../x', 'leads out'],
  ['a\0b', 'NUL'],
  ['./a\0', 'NUL'],
  [`${long}n`, '256 bytes'],
  [`a/${long}n/b`, '256 bytes'],
  [`a/${long}n/../b`, '256 bytes'],
  [`${'a/'.repeat(2048)}b`, '4097 bytes'],
] as const)
  test(`${JSON.stringify(name.slice(0, 20))} is refused`, () =>
    assert.throws(
      () => cleanPath(name),
      (error) => hasCode(error, 'BAD_FORMAT') && error.message.includes(found),
    ))

test('a cleaned path is clean: once more changes nothing', () => {
  const part = fc.oneof(fc.constantFrom('', '.', '..', 'a', '\xff'), fc.string({ maxLength: 3 }))
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      let path: string
      try {
        path = cleanPath(parts.join('/'))
      } catch (error) {
        assert.ok(hasCode(error, 'BAD_FORMAT'))
        return
      }
      assert.equal(cleanPath(path), path)
      assert.ok(path === '' || path.split('/').every((each) => each !== '' && each !== '.' && each !== '..'))
    }),
  )
})
