import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OnefoldError } from '../../error.ts'
import { parseMountCommand, parseMountOptions } from './mount-options.ts'

const digest = 'ab'.repeat(32)

describe('the options of mount.composefs', () => {
  const plain = { objects: ['o'], readOnly: false, verity: 'off' }
  const good: [text: string, options: object][] = [
    ['basedir=o', plain],
    ['basedir=o,', plain],
    ['basedir=o1:o2', { ...plain, objects: ['o1', 'o2'] }],
    ['basedir=x,basedir=o', plain],
    ['basedir=a\\,b\\\\c\\=d', { ...plain, objects: ['a,b\\c=d'] }],
    ['basedir=o=p', { ...plain, objects: ['o=p'] }],
    ['basedir=\xff', { ...plain, objects: ['\xff'] }],
    ['ro,basedir=o', { ...plain, readOnly: true }],
    ['ro,basedir=o,rw', plain],
    ['basedir=o,verity', { ...plain, verity: 'require' }],
    ['basedir=o,tryverity', { ...plain, verity: 'try' }],
    ['basedir=o,tryverity,verity', { ...plain, verity: 'require' }],
    [`basedir=o,digest=${digest}`, { ...plain, verity: 'require', digest }],
    [`basedir=o,tryverity,digest=${digest.toUpperCase()}`, { ...plain, verity: 'require', digest }],
    ['basedir=o,idmap=/proc/7/ns/user', { ...plain, idmap: '/proc/7/ns/user' }],
    ['basedir=o,upperdir=u\\,1,workdir=w', { ...plain, upper: { upper: 'u,1', work: 'w' } }],
  ]
  for (const [text, options] of good) test(text, () => assert.deepEqual(parseMountOptions(text), options))

  const bad: [text: string, code: string, message: string][] = [
    ['', 'USAGE', 'No object dirs specified'],
    ['ro', 'USAGE', 'No object dirs specified'],
    ['basedir', 'BAD_NAME', 'No value specified for basedir option'],
    ['basedir=', 'BAD_NAME', 'Value for basedir option has incorrect format'],
    ['basedir=o:', 'BAD_NAME', 'Value for basedir option has incorrect format'],
    ['basedir=a::b', 'BAD_NAME', 'Value for basedir option has incorrect format'],
    ['basedir=o\\:', 'BAD_NAME', 'Value for basedir option has incorrect format'],
    ['basedir=o,,ro', 'UNSUPPORTED', 'Unsupported option '],
    ['basedir=o,noverity', 'UNSUPPORTED', 'Unsupported option noverity'],
    ['basedir=o,digest', 'BAD_NAME', 'No value specified for digest option'],
    ['basedir=o,upperdir=u', 'BAD_NAME', 'Both workdir and upperdir must be specified if used'],
    ['basedir=o,workdir=w', 'BAD_NAME', 'Both workdir and upperdir must be specified if used'],
    [`basedir=o,digest=${digest}00`, 'BAD_NAME', `Cannot read digest "${digest}00": expected 64 lower-case hex digits`],
  ]
  for (const [text, code, message] of bad)
    test(`refused: "${text}"`, () => assert.throws(() => parseMountOptions(text), { code, message }))

  test('stand anywhere on the command line, which mount(8) relies on', () => {
    const wanted = { image: 'i', target: 't', ...plain }
    for (const line of ['-o basedir=o i t', 'i t -o basedir=o', '-t composefs i -obasedir=o t'])
      assert.deepEqual(parseMountCommand(line.split(' ')), wanted)
    assert.equal(parseMountCommand(['-h']), undefined)
    assert.throws(() => parseMountCommand(['-t', 'ext4']), { code: 'UNSUPPORTED' })
    assert.throws(
      () => parseMountCommand(['i', '-x']),
      (error) => {
        assert.ok(error instanceof OnefoldError)
        assert.equal(error.message, "mount.composefs: invalid option -- 'x'")
        return error.code === 'USAGE' && error.hint?.startsWith('usage: mount.composefs ') === true
      },
    )
  })
})
