import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../error.ts'
import { resolveUser } from './user.ts'

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
broken:x:notanumber:1::/:
app:x:1000:1001:App:/home/app:/bin/sh
1000:x:5:6::/five:
nohome:x:7:7
huge:x:99999999999:1::/:
`
const group = `root:x:0:
daemon:x:1:root
app:x:1001:
audio:x:29:root,app
video:x:44:app
999:x:77:
`

const cases: readonly [spec: string, uid: number, gid: number, groups: number[], home: string][] = [
  ['', 0, 0, [0, 1, 29], '/root'],
  ['root', 0, 0, [0, 1, 29], '/root'],
  ['0', 0, 0, [0, 1, 29], '/root'],
  ['app', 1000, 1001, [1001, 29, 44], '/home/app'],
  ['app:audio', 1000, 29, [29], '/home/app'],
  ['app:4242', 1000, 4242, [4242], '/home/app'],
  ['1', 1, 1, [1], '/usr/sbin'],
  ['1000', 5, 6, [6], '/five'], // a name made of digits comes before a number
  ['4242', 4242, 0, [0], '/'],
  ['4242:app', 4242, 1001, [1001], '/'],
  ['4242:999', 4242, 77, [77], '/'],
  ['nohome', 7, 7, [7], '/'],
  [':audio', 0, 29, [29], '/root'],
]

for (const [spec, uid, gid, groups, home] of cases) {
  test(`user ${JSON.stringify(spec)}`, () => {
    assert.deepEqual(resolveUser(spec, passwd, group), { uid, gid, groups, home })
  })
}

for (const spec of ['nobody', 'broken', 'huge', 'app:nogroup', 'a:b:c', '4294967295', '-1', '0x0', ' root']) {
  test(`user ${JSON.stringify(spec)} is refused`, () => {
    assert.throws(
      () => resolveUser(spec, passwd, group),
      (error) => hasCode(error, 'USAGE'),
    )
  })
}

test('without the files, root is root and numbers are numbers', () => {
  assert.deepEqual(resolveUser('', '', ''), { uid: 0, gid: 0, groups: [0], home: '/' })
  assert.deepEqual(resolveUser('12:34', '', ''), { uid: 12, gid: 34, groups: [34], home: '/' })
  assert.throws(
    () => resolveUser('app', '', ''),
    (error) => hasCode(error, 'USAGE'),
  )
})

test('whatever the files hold, ids stay in range', () => {
  const text = fc.string({ unit: fc.constantFrom('a', ':', '\n', '0', '9', ',', 'root', '\0'), maxLength: 60 })
  fc.assert(
    fc.property(text, text, fc.constantFrom('', 'root', 'a', '0', '9', 'a:0', '0:a'), (users, groups, spec) => {
      try {
        const account = resolveUser(spec, users, groups)
        for (const id of [account.uid, account.gid, ...account.groups]) assert.ok(id >= 0 && id < 0xffffffff)
      } catch (error) {
        if (!hasCode(error, 'USAGE')) throw error
      }
    }),
    { numRuns: 5000 },
  )
})
