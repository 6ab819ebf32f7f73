import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OnefoldError } from '../error.ts'
import { fuzzMountinfo } from '../../test/fuzz/mountinfo.ts'
import { parseMountinfo, readMounts } from './mountinfo.ts'

test('every field is read, octal escapes undone, optional tags skipped', () => {
  const text =
    '36 35 98:0 /sub\\040dir /mnt/\\011\\134 rw,noatime master:1 shared:7 - overlay onefold:4a\\043b ro,lowerdir+=/a\\054b\n' +
    '1 1 0:2 / / rw - rootfs rootfs rw\n'
  assert.deepEqual(parseMountinfo(text), [
    {
      id: 36,
      parent: 35,
      device: '98:0',
      root: '/sub dir',
      target: '/mnt/\t\\',
      options: ['rw', 'noatime'],
      type: 'overlay',
      source: 'onefold:4a#b',
      superOptions: ['ro', 'lowerdir+=/a,b'],
    },
    {
      id: 1,
      parent: 1,
      device: '0:2',
      root: '/',
      target: '/',
      options: ['rw'],
      type: 'rootfs',
      source: 'rootfs',
      superOptions: ['rw'],
    },
  ])
})

test('an empty source is a source', () => {
  const [mount] = parseMountinfo('1 1 0:2 / /x rw - tmpfs  rw')
  assert.deepEqual([mount?.source, mount?.superOptions], ['', ['rw']])
})

for (const line of [
  '',
  'x',
  '1 2 3:4 / / rw rootfs rootfs rw',
  'a 1 0:2 / / rw - tmpfs x rw',
  '1 1 0:2 / / rw - tmpfs',
]) {
  test(`${JSON.stringify(line)} ${line === '' ? 'is no mount' : 'is refused'}`, () => {
    if (line === '') assert.deepEqual(parseMountinfo(line), [])
    else
      assert.throws(
        () => parseMountinfo(line),
        (error) => error instanceof OnefoldError && error.code === 'BAD_FORMAT',
      )
  })
}

test('changed lines end in a value or BAD_FORMAT', () => fuzzMountinfo(1, 20_000))

test("this process's own table has a root", () => {
  assert.ok(readMounts().some((mount) => mount.target === '/'))
})
