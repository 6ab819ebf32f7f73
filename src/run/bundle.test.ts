import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '../error.ts'
import type { RunConfig } from '../formats/oci/image-config.ts'
import { parseBind } from './bind.ts'
import { bundleConfig, writeBundleConfig } from './bundle.ts'
import { type ProcessOptions, processSpec } from './process.ts'

const account = { uid: 0, gid: 0, groups: [0], home: '/root' }
const config: RunConfig = {
  user: '',
  env: ['PATH=/bin', 'A=1'],
  entrypoint: ['/entry', 'point'],
  cmd: ['cmd'],
  workingDir: '/work/../dir',
  stopSignal: 'SIGQUIT',
  volumes: ['/data'],
  exposedPorts: ['80/tcp'],
  labels: { 'run.oci.handler': 'krun' },
  argsEscaped: false,
}

const commands: readonly [what: string, image: Partial<RunConfig>, options: ProcessOptions, args: string[]][] = [
  ['entrypoint and cmd', {}, {}, ['/entry', 'point', 'cmd']],
  ['another cmd', {}, { cmd: ['x', 'y'] }, ['/entry', 'point', 'x', 'y']],
  ['no cmd', { cmd: undefined }, {}, ['/entry', 'point']],
  ['an empty cmd is no cmd', {}, { cmd: [] }, ['/entry', 'point', 'cmd']],
  ['another entrypoint drops the cmd', {}, { entrypoint: ['/other'] }, ['/other']],
  ['another entrypoint and cmd', {}, { entrypoint: ['/other'], cmd: ['x'] }, ['/other', 'x']],
  ['no entrypoint', { entrypoint: undefined }, {}, ['cmd']],
  ['an entrypoint taken away', {}, { entrypoint: [], cmd: ['x'] }, ['x']],
]

for (const [what, image, options, args] of commands) {
  test(`command: ${what}`, () => {
    assert.deepEqual(processSpec({ ...config, ...image }, options, account).args, args)
  })
}

test('an image without a program needs one', () => {
  const empty = { ...config, entrypoint: undefined, cmd: undefined }
  assert.throws(
    () => processSpec(empty, {}, account),
    (error) => hasCode(error, 'USAGE'),
  )
})

test('environment: defaults, then the image, then the user; every name once and in place', () => {
  const env = (image: string[], options: ProcessOptions): readonly string[] =>
    processSpec({ ...config, env: image }, options, account, { FROM: 'host', TERM: 'vt100', EMPTY: '' }).env
  assert.deepEqual(env(['PATH=/bin', 'A=1'], {}), ['PATH=/bin', 'A=1', 'HOME=/root'])
  assert.deepEqual(env([], {})[0], 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
  assert.deepEqual(env(['PATH=/', 'A=1', 'B=2', 'A=3', 'HOME=/h'], { env: ['B=', 'C=x=y', 'FROM', 'GONE', 'EMPTY'] }), [
    'PATH=/',
    'A=3',
    'B=',
    'HOME=/h',
    'C=x=y',
    'FROM=host',
    'EMPTY=',
  ])
  assert.deepEqual(env(['FROM'], { tty: true }).slice(1), ['TERM=vt100', 'HOME=/root'])
  assert.throws(
    () => env([], { env: ['=x'] }),
    (error) => hasCode(error, 'USAGE'),
  )
})

test('the working directory is absolute and cleaned', () => {
  const cwd = (workingDir: string, workdir?: string): string =>
    processSpec({ ...config, workingDir }, { workdir }, account).cwd
  assert.deepEqual(
    [cwd('/work/../dir'), cwd(''), cwd('rel'), cwd('/a', '/b/'), cwd('../..')],
    ['/dir', '/', '/rel', '/b', '/'],
  )
})

for (const [text, want] of [
  ['/a:/b', { source: '/a', destination: '/b', readOnly: false }],
  ['/a:/b/../c:ro', { source: '/a', destination: '/c', readOnly: true }],
  ['./a:/b:rw', { source: `${process.cwd()}/a`, destination: '/b', readOnly: false }],
  ['.:/b', { source: process.cwd(), destination: '/b', readOnly: false }],
] as const) {
  test(`bind ${text}`, () => assert.deepEqual(parseBind(text), want))
}

for (const text of ['', '/a', '/a:', '/a:b', 'name:/b', '/a:/b:rx', '/a:/b:ro:x', '/a:/', '/a:/..', ':/b']) {
  test(`bind ${JSON.stringify(text)} is refused`, () => {
    assert.throws(
      () => parseBind(text),
      (error) => hasCode(error, 'USAGE'),
    )
  })
}

const request = {
  rootfs: '/mounts/1/root',
  process: processSpec(config, {}, account),
  openFilesMax: 4096,
  hostname: 'box',
  network: 'host',
  readOnly: false,
  binds: [{ source: '/a', destination: '/b', readOnly: true }],
  stopSignal: 'SIGQUIT',
} as const

test('the bundle, as data', () => {
  const bundle = pick(bundleConfig(request))
  assert.deepEqual(bundle('root'), { path: '/mounts/1/root', readonly: false })
  assert.deepEqual(bundle('hostname'), 'box')
  assert.deepEqual(bundle('annotations'), { 'org.opencontainers.image.stopSignal': 'SIGQUIT' })
  assert.deepEqual(bundle('process', 'user'), { uid: 0, gid: 0, umask: 18, additionalGids: [0] })
  assert.deepEqual(bundle('process', 'rlimits'), [{ type: 'RLIMIT_NOFILE', hard: 4096, soft: 1024 }])
  assert.deepEqual(bundle('process', 'args'), ['/entry', 'point', 'cmd'])
  assert.deepEqual(
    bundle('linux', 'namespaces'),
    ['pid', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
  )
  const mounts = bundle('mounts') as { destination: string }[]
  assert.deepEqual(
    mounts.map((mount) => mount.destination),
    ['/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/sys/fs/cgroup', '/b'],
  )
  assert.deepEqual(mounts.at(-1), {
    destination: '/b',
    type: 'bind',
    source: '/a',
    options: ['rbind', 'rprivate', 'ro'],
  })
})

test('a user who is not root holds no capabilities', () => {
  const process = processSpec(config, {}, { ...account, uid: 7 })
  const capabilities = pick(bundleConfig({ ...request, process }))('process', 'capabilities') as Record<
    string,
    string[]
  >
  assert.equal(capabilities['bounding']?.length, 11)
  for (const set of ['effective', 'permitted', 'inheritable', 'ambient']) assert.deepEqual(capabilities[set], [], set)
})

test('network none is one more namespace; no stop signal is no annotation', () => {
  const bundle = pick(bundleConfig({ ...request, network: 'none', stopSignal: '' }))
  assert.deepEqual((bundle('linux', 'namespaces') as object[]).at(-1), { type: 'network' })
  assert.deepEqual(bundle('annotations'), {})
})

test('the same request gives the same bytes', () => {
  assert.equal(writeBundleConfig(request), writeBundleConfig(structuredClone(request)))
})

function pick(value: object): (...path: string[]) => unknown {
  return (...path) =>
    path.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], JSON.parse(JSON.stringify(value)))
}
