import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { getXattr, listXattrs, setXattr } from './xattr.ts'

const names = fc.string({
  unit: fc.integer({ min: 1, max: 255 }).map((n) => String.fromCharCode(n)),
  minLength: 1,
  maxLength: 60,
})

test('what was set is read back, by path and by descriptor, bytes for bytes', () => {
  using folder = scratch('xattr')
  fc.assert(
    fc.property(names, fc.uint8Array({ maxLength: 500 }), fc.boolean(), (suffix, value, byPath) => {
      const fd = fs.openSync(folder.at('f'), 'w')
      const [one, other] = byPath ? [folder.at('f'), fd] : [fd, folder.at('f')]
      const name = `user.${suffix}`
      assert.equal(getXattr(other, name), undefined)
      setXattr(one, name, value)
      assert.deepEqual(listXattrs(other), [name])
      assert.deepEqual(getXattr(other, name), value)
      fs.closeSync(fd)
      fs.rmSync(folder.at('f'))
    }),
    { numRuns: 200 },
  )
})

test('a path that is a symlink means the symlink', { skip: needsRoot }, () => {
  using folder = scratch('xattr')
  fs.writeFileSync(folder.at('f'), '')
  fs.symlinkSync('f', folder.at('link'))
  setXattr(folder.at('link'), 'trusted.onefold', Buffer.from('of the link'))
  assert.deepEqual(listXattrs(folder.at('f')), [])
  assert.deepEqual(listXattrs(folder.at('link')), ['trusted.onefold'])
})
