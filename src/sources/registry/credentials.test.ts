import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { OnefoldError } from '../../error.ts'
import { type Credentials, findCredentials } from './credentials.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const basic = (username: string, password: string): Credentials => ({ kind: 'basic', username, password })

interface Setup {
  /** Path below the test's folder → content. */
  readonly files: Readonly<Record<string, unknown>>
  /** Variables whose values are paths below the test's folder. */
  readonly paths?: Readonly<Record<string, string>>
}

async function find(setup: Setup, host: string, repository = 'team/app'): Promise<Credentials | undefined> {
  using folder = scratch('credentials')
  for (const [name, content] of Object.entries(setup.files)) {
    mkdirSync(dirname(folder.at(name)), { recursive: true })
    const program = name.startsWith('bin/')
    writeFileSync(folder.at(name), typeof content === 'string' ? content : JSON.stringify(content))
    if (program) chmodSync(folder.at(name), 0o755)
  }
  const paths = Object.entries(setup.paths ?? {}).map(([key, path]) => [key, folder.at(path)])
  const PATH = `${folder.at('bin')}:/usr/bin:/bin`
  return await findCredentials(host, repository, {
    env: { HOME: folder.at('home'), PATH, ...Object.fromEntries(paths) },
  })
}

const docker = 'home/.docker/config.json'
const auths = {
  'h.example': { auth: base64('ann:pa:ss') },
  'https://index.docker.io/v1/': { auth: base64('hub:secret') },
  'http://old.example/v2/': { username: 'old', password: 'way' },
  'id.example': { auth: base64('x:'), identitytoken: 'refresh' },
  'bearer.example:5000': { registrytoken: 'ready' },
  'empty.example': {},
  'h.example/team': { auth: base64('team:t') },
  'h.example/team/app': { auth: base64('app:a') },
  'nul.example': { auth: base64('u:p\0\0') },
}

const lookups: readonly [host: string, repository: string, expected: Credentials | undefined][] = [
  ['h.example', 'other', basic('ann', 'pa:ss')],
  ['h.example', 'team/other', basic('team', 't')],
  ['h.example', 'team/app', basic('app', 'a')],
  ['h.example', 'team/app/part', basic('app', 'a')],
  ['h.example', 'team/apple', basic('team', 't')],
  ['docker.io', 'library/debian', basic('hub', 'secret')],
  ['old.example', 'a', basic('old', 'way')],
  ['id.example', 'a', { kind: 'identity', token: 'refresh' }],
  ['bearer.example:5000', 'a', { kind: 'bearer', token: 'ready' }],
  ['bearer.example', 'a', undefined],
  ['empty.example', 'a', undefined],
  ['nul.example', 'a', basic('u', 'p')],
  ['__proto__', 'a', undefined],
]

for (const [host, repository, expected] of lookups)
  test(`docker's config.json for ${host}/${repository}`, async () => {
    assert.deepEqual(await find({ files: { [docker]: { auths } } }, host, repository), expected)
  })

const entry = (user: string): object => ({ auths: { 'h.example': { auth: base64(`${user}:p`) } } })

test('files are asked in the order of podman, docker last', async () => {
  const files = {
    'asked.json': entry('asked'),
    'run/containers/auth.json': entry('runtime'),
    'home/.config/containers/auth.json': entry('config'),
    'docker/config.json': entry('docker'),
  }
  const paths = { REGISTRY_AUTH_FILE: 'asked.json', XDG_RUNTIME_DIR: 'run', DOCKER_CONFIG: 'docker' }
  const order = ['asked', 'runtime', 'config', 'docker']
  const left: Record<string, object> = { ...files }
  for (const user of order) {
    assert.deepEqual(await find({ files: left, paths }, 'h.example'), basic(user, 'p'))
    delete left[Object.keys(left)[0] ?? '']
  }
  assert.equal(await find({ files: left, paths }, 'h.example'), undefined)
})

const helper = (answer: object): string => `#!/bin/sh
[ "$1" = get ] && read -r server && printf '%s' '${JSON.stringify(answer)}' | sed "s|SERVER|$server|"`

test('a credential helper goes before the store for all, and both before the file', async () => {
  const files = {
    [docker]: { ...entry('file'), credHelpers: { 'h.example': 'own' }, credsStore: 'all' },
    'bin/docker-credential-own': helper({ Username: 'own SERVER', Secret: 's' }),
    'bin/docker-credential-all': helper({ Username: 'all SERVER', Secret: 's' }),
  }
  assert.deepEqual(await find({ files }, 'h.example'), basic('own h.example', 's'))
  assert.deepEqual(await find({ files }, 'other.example'), basic('all other.example', 's'))
  assert.deepEqual(await find({ files }, 'docker.io'), basic('all https://index.docker.io/v1/', 's'))
})

test("a helper's <token> is an identity token", async () => {
  const files = {
    [docker]: { credsStore: 'all' },
    'bin/docker-credential-all': helper({ Username: '<token>', Secret: 'refresh' }),
  }
  assert.deepEqual(await find({ files }, 'h.example'), { kind: 'identity', token: 'refresh' })
})

test('a helper that knows nothing leaves the word to the file', async () => {
  const files = {
    [docker]: { ...entry('file'), credsStore: 'all' },
    'bin/docker-credential-all': '#!/bin/sh\necho credentials not found in native keychain; exit 1',
  }
  assert.deepEqual(await find({ files }, 'h.example'), basic('file', 'p'))
})

const failures: readonly [name: string, files: Record<string, unknown>, code: string, found: RegExp][] = [
  ['no JSON', { [docker]: '{"auths": {"h.example": secret' }, 'BAD_FORMAT', /it is no JSON/],
  ['no object', { [docker]: '[]' }, 'BAD_FORMAT', /no JSON object/],
  ['no user', { [docker]: { auths: { 'h.example': { auth: base64('secret') } } } }, 'BAD_FORMAT', /user:password/],
  ['no helper', { [docker]: { credsStore: 'none' } }, 'DENIED', /no such program/],
  ['a path', { [docker]: { credsStore: '../bin/sh' } }, 'DENIED', /no program name/],
  ['exit 3', { [docker]: { credsStore: 'x' }, 'bin/docker-credential-x': '#!/bin/sh\nexit 3' }, 'DENIED', /with 3/],
  [
    'nothing',
    { [docker]: { credsStore: 'x' }, 'bin/docker-credential-x': '#!/bin/sh\necho {}' },
    'DENIED',
    /no secret/,
  ],
  [
    'text',
    { [docker]: { credsStore: 'x' }, 'bin/docker-credential-x': '#!/bin/sh\necho secret' },
    'BAD_FORMAT',
    /JSON/,
  ],
]

for (const [name, files, code, found] of failures)
  test(`credentials that cannot be read: ${name}`, async () => {
    await assert.rejects(find({ files }, 'h.example'), (error) => {
      assert.ok(error instanceof OnefoldError)
      assert.equal(error.code, code)
      assert.match(error.message, found)
      assert.doesNotMatch(JSON.stringify([error.message, error.hint, String(error.cause)]), /secret(?!")/)
      return true
    })
  })
