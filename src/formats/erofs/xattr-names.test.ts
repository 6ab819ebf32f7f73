import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeXattr } from './encode-xattr.ts'
import { filterBit, prefixOf, splitName } from './xattr-names.ts'

test('a name is the first prefix that fits and the rest', () => {
  for (const [name, index, suffix] of [
    ['user.a.b', 1, 'a.b'],
    ['system.posix_acl_access', 2, ''],
    ['system.posix_acl_default', 3, ''],
    ['trusted.overlay.opaque', 4, 'overlay.opaque'],
    ['security.selinux', 6, 'selinux'],
    ['lustre.x', 0, 'lustre.x'],
    ['user', 0, 'user'],
  ] as const) {
    assert.deepEqual(splitName(name), { index, suffix }, name)
    assert.equal(`${prefixOf(index) ?? ''}${suffix}`, name)
  }
  assert.deepEqual([prefixOf(5), prefixOf(7), prefixOf(0x80)], ['lustre.', undefined, undefined])
})

test('the filter bit of a name is that of its prefix and the rest', () => {
  assert.equal(filterBit(splitName('user.a')), filterBit({ index: 1, suffix: 'a' }))
  assert.notEqual(filterBit({ index: 5, suffix: 'x' }), filterBit({ index: 0, suffix: 'lustre.x' }))
})

test('an entry is lengths, prefix, rest of the name and value, padded', () => {
  const bytes = Buffer.from(encodeXattr('user.ab', Buffer.from('xyz')))
  assert.equal(bytes.toString('hex'), '0201030061627879' + '7a000000')
  for (const [name, size] of [
    ['', 0],
    [`user.${'n'.repeat(256)}`, 0],
    ['user.a', 0x10000],
  ] as const)
    assert.throws(() => encodeXattr(name, new Uint8Array(size)), { code: 'LIMIT' })
})
