import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseDiffId } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import { type RunConfig, parseConfig, writeConfig } from './image-config.ts'

const diffId = parseDiffId(`sha256:${'cd'.repeat(32)}`)
const rootfs = { type: 'layers', diff_ids: [diffId] }
const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
/** Maps without prototype as the plain objects that tests are written with. */
const plain = (value: object): unknown => JSON.parse(JSON.stringify(value))

test('parseConfig() reads everything that starts a container', () => {
  const config = parseConfig(
    bytesOf({
      architecture: 'arm64',
      variant: 'v8',
      os: 'linux',
      config: {
        User: '1000:users',
        Env: ['PATH=/bin', 'EMPTY='],
        Entrypoint: ['/init'],
        Cmd: [],
        WorkingDir: '/srv',
        StopSignal: 'SIGQUIT',
        Volumes: { '/b': {}, '/a': {} },
        ExposedPorts: { '80/tcp': {} },
        Labels: { k: 'v' },
        ArgsEscaped: true,
      },
      rootfs,
      history: [{ created_by: 'x' }],
    }),
    1,
  )
  assert.deepEqual(plain(config), {
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    diffIds: [diffId],
    run: {
      user: '1000:users',
      env: ['PATH=/bin', 'EMPTY='],
      entrypoint: ['/init'],
      cmd: [],
      workingDir: '/srv',
      stopSignal: 'SIGQUIT',
      volumes: ['/a', '/b'],
      exposedPorts: ['80/tcp'],
      labels: { k: 'v' },
      argsEscaped: true,
    },
    history: [{ created_by: 'x' }],
  })
})

test('parseConfig() takes what is absent or null as the peers do', () => {
  const config = parseConfig(bytesOf({ config: { Env: null, Cmd: null }, rootfs: { diff_ids: null } }), 0)
  assert.deepEqual(config.platform, { os: 'linux', architecture: 'unknown' })
  assert.deepEqual(config.diffIds, [])
  assert.deepEqual(config.run.env, [])
  assert.equal(config.run.cmd, undefined)
  assert.equal(parseConfig(bytesOf({ rootfs, config: null })).run.user, '')
})

describe('parseConfig() refuses', () => {
  const refused: [name: string, document: unknown, code: Code, message: RegExp][] = [
    ['the empty config of artifacts', {}, 'BAD_FORMAT', /rootfs is missing/],
    ['a rootfs of another type', { rootfs: { type: 'layers+base' } }, 'BAD_FORMAT', /rootfs.type is "layers\+base"/],
    [
      'a diffID that is a path',
      { rootfs: { diff_ids: ['sha256:../x'] } },
      'BAD_FORMAT',
      /diff_ids\[0\] is "sha256:..\/x"/,
    ],
    ['a diffID that is a number', { rootfs: { diff_ids: [1] } }, 'BAD_FORMAT', /diff_ids\[0\]/],
    ['fewer diffIDs than layers', { rootfs: { diff_ids: [] } }, 'BAD_FORMAT', /0 diff_ids, its manifest has 1 layers/],
    ['more diffIDs than layers', { rootfs: { diff_ids: [diffId, diffId] } }, 'BAD_FORMAT', /2 diff_ids/],
    ['a command in one string', { rootfs, config: { Cmd: 'sh' } }, 'BAD_FORMAT', /config.Cmd is "sh", expected a list/],
    ['variables that are no strings', { rootfs, config: { Env: [{}] } }, 'BAD_FORMAT', /config.Env\[0\]/],
    ['volumes in a list', { rootfs, config: { Volumes: ['/a'] } }, 'BAD_FORMAT', /config.Volumes is a list/],
    ['labels that are no strings', { rootfs, config: { Labels: { a: {} } } }, 'BAD_FORMAT', /config.Labels.a/],
    ['a number as user', { rootfs, config: { User: 0 } }, 'BAD_FORMAT', /config.User is 0/],
    ['an os that is no string', { rootfs, os: ['linux'] }, 'BAD_FORMAT', /os is a list/],
  ]
  for (const [name, document, code, message] of refused)
    test(name, () =>
      assert.throws(
        () => parseConfig(bytesOf(document), 1),
        (error: Error) => hasCode(error, code) && message.test(error.message),
      ),
    )
})

test('writeConfig() writes the same bytes for the same config', () => {
  const run = { labels: { b: '2', a: '1' }, volumes: ['/z', '/y'], cmd: ['sh'], env: ['A=1'] }
  assert.equal(
    Buffer.from(writeConfig({ platform: { os: 'linux', architecture: 'amd64' }, diffIds: [diffId], run })).toString(),
    `{"architecture":"amd64","os":"linux","config":{"Env":["A=1"],"Cmd":["sh"],"Volumes":{"/y":{},"/z":{}},` +
      `"Labels":{"a":"1","b":"2"}},"rootfs":{"type":"layers","diff_ids":["${diffId}"]}}`,
  )
})

const text = fc.string({ unit: 'binary', maxLength: 8 })
const some = fc.string({ unit: 'binary', minLength: 1, maxLength: 8 })
const set = fc.uniqueArray(text, { maxLength: 4 }).map((names) => names.toSorted())
const anyRun: fc.Arbitrary<RunConfig> = fc.record({
  user: text,
  env: fc.array(text, { maxLength: 4 }),
  entrypoint: fc.option(fc.array(text, { maxLength: 4 }), { nil: undefined }),
  cmd: fc.option(fc.array(text, { maxLength: 4 }), { nil: undefined }),
  workingDir: text,
  stopSignal: text,
  volumes: set,
  exposedPorts: set,
  labels: fc.dictionary(text, text),
  argsEscaped: fc.boolean(),
})

test('what is written is read back', () => {
  const platform = fc.record({ os: some, architecture: some, variant: some }, { requiredKeys: ['os', 'architecture'] })
  fc.assert(
    fc.property(platform, anyRun, fc.nat(3), (on, run, layers) => {
      const diffIds = Array<typeof diffId>(layers).fill(diffId)
      const read = parseConfig(writeConfig({ platform: on, diffIds, run }), layers)
      assert.deepEqual(plain(read), plain({ platform: on, diffIds, run, history: [] }))
    }),
  )
})
