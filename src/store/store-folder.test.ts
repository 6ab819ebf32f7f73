import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs, {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { describe, test } from 'node:test'
import { file } from '../../test/fixtures/images.ts'
import { needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { stageImage } from '../../test/fixtures/store-image.ts'
import { type Code, hasCode } from '../error.ts'
import { defaultRoot } from './store-layout.ts'
import { openStore } from './store.ts'

const code = (want: Code) => (error: unknown) => hasCode(error, want)

describe('openStore', () => {
  test('makes a store that nobody else can look into', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('new', 'store'))
    assert.equal(statSync(store.root).mode & 0o777, 0o700)
    assert.deepEqual(JSON.parse(readFileSync(`${store.root}/store.json`, 'utf8')), {
      version: 1,
      objectAlgorithm: 'fsverity-sha256-4096',
      verity: 'auto',
    })
    const before = readdirSync(store.root, { recursive: true })
    await using again = await openStore(store.root)
    assert.deepEqual(readdirSync(again.root, { recursive: true }), before)
  })

  test('finishes one whose making was interrupted, on a new file system too', async () => {
    using place = scratch('store')
    for (const name of ['objects', 'tmp', 'lost+found']) mkdirSync(place.at(name))
    await using store = await openStore(place.path)
    assert.ok(readdirSync(store.root).includes('store.json'))
  })

  test('two that make it at the same time make the same', async () => {
    using place = scratch('store')
    const stores = await Promise.all([1, 2, 3].map(() => openStore(place.at('store'))))
    assert.deepEqual(new Set(stores.map(({ root }) => root)).size, 1)
  })

  test('what a process killed while it made one has left is taken away', async () => {
    using place = scratch('store')
    mkdirSync(place.at('tmp'))
    writeFileSync(place.at('tmp', `new-${randomUUID()}`), '')
    await using store = await openStore(place.path)
    assert.equal(readdirSync(place.at('tmp')).length, 1)
    await using transaction = await store.begin()
    assert.deepEqual(
      readdirSync(place.at('tmp')).map((name) => place.at('tmp', name)),
      [transaction.place('').folder],
    )
  })

  test('another process may make it and clean up before this one has made anything', async (t) => {
    using place = scratch('store')
    const { linkSync } = fs
    const left: string[] = []
    t.mock.method(fs, 'linkSync', (from: string, to: string) => {
      if (left.length === 0) {
        left.push(from)
        execFileSync(process.execPath, [
          '--input-type=module',
          '--eval',
          `import { openStore } from ${JSON.stringify(new URL('store.ts', import.meta.url))}
           await using store = await openStore(${JSON.stringify(place.path)})
           await using transaction = await store.begin()`,
        ])
        assert.equal(fs.existsSync(from), false)
      }
      linkSync(from, to)
    })
    syncBuiltinESMExports()
    t.after(() => {
      t.mock.restoreAll()
      syncBuiltinESMExports()
    })
    await using store = await openStore(place.path)
    assert.deepEqual([left.length, readdirSync(place.at('tmp')), store.refs()], [1, [], []])
  })

  test('does not make one to read from', async () => {
    using place = scratch('store')
    await assert.rejects(openStore(place.at('store'), { create: false }), code('NOT_FOUND'))
    assert.deepEqual(readdirSync(place.path), [])
  })

  test('leaves folders of others alone', async () => {
    using place = scratch('store')
    writeFileSync(place.at('letter.txt'), 'Dear')
    await assert.rejects(openStore(place.path), code('EXISTS'))
    assert.deepEqual(readdirSync(place.path), ['letter.txt'])
    await assert.rejects(
      openStore(place.at('letter.txt')),
      (error) => hasCode(error, 'IO') || hasCode(error, 'CORRUPT'),
    )
  })

  const files: [string, Code][] = [
    ['{"version": 2, "objectAlgorithm": "blake3"}', 'UNSUPPORTED'],
    ['{"version": 1, "objectAlgorithm": "blake3"}', 'BAD_FORMAT'],
    ['{"version": "1"}', 'BAD_FORMAT'],
    ['{}', 'BAD_FORMAT'],
    ['', 'BAD_FORMAT'],
    ['[1]', 'BAD_FORMAT'],
    ['x'.repeat(100_000), 'LIMIT'],
  ]
  for (const [text, want] of files)
    test(`refuses store.json ${text.slice(0, 50)}`, async () => {
      using place = scratch('store')
      await openStore(place.path)
      writeFileSync(place.at('store.json'), text)
      await assert.rejects(openStore(place.path), code(want))
    })

  for (const name of ['objects', 'refs', 'layers', 'tmp', 'lock', 'store.json'])
    test(`refuses a symlink in place of ${name}`, async () => {
      using place = scratch('store')
      await openStore(place.at('store'))
      renameSync(place.at('store', name), place.at('elsewhere'))
      symlinkSync(place.at('elsewhere'), place.at('store', name))
      await assert.rejects(openStore(place.at('store')), code('CORRUPT'))
      rmSync(place.at('store', name))
      if (name !== 'store.json') await assert.rejects(openStore(place.at('store')), code('CORRUPT'))
    })
})

describe('a store that others can change', () => {
  const changes: [string, (root: string) => void][] = [
    ['because it is theirs', (root) => chownSync(root, 1234, 1234)],
    ['because of its mode', (root) => chmodSync(root, 0o770)],
  ]
  for (const [why, change] of changes)
    test(`is not written to: ${why}`, { skip: needsRoot }, async () => {
      using place = scratch('store')
      await using store = await openStore(place.at('store'))
      change(store.root)
      await using again = await openStore(store.root)
      assert.deepEqual(again.list(), [])
      for (const write of [() => again.begin(), () => again.gc(), () => again.tag('a', 'b'), () => again.remove('a')])
        await assert.rejects(write, code('DENIED'))
    })
})

test('files of a store can be read whatever the umask is', async (t) => {
  using place = scratch('store')
  const umask = process.umask(0o077)
  t.after(() => process.umask(umask))
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  stageImage(transaction, { layers: [[file('a', Buffer.alloc(999))]], name: 'a' })
  await transaction.commit()
  for (const entry of readdirSync(store.root, { recursive: true, withFileTypes: true })) {
    const path = `${entry.parentPath}/${entry.name}`
    const mode = statSync(path).mode & 0o777
    assert.ok([0o755, 0o644, 0o444].includes(mode), `${path} ${mode.toString(8)}`)
  }
  assert.deepEqual((await store.fsck()).damage, [])
})

test('the default store of a user follows XDG_DATA_HOME', (t) => {
  const { env } = process
  const getuid = Object.getOwnPropertyDescriptor(process, 'getuid') ?? {}
  const { HOME, XDG_DATA_HOME } = env
  t.after(() => {
    Object.defineProperty(process, 'getuid', getuid)
    for (const [name, value] of Object.entries({ HOME, XDG_DATA_HOME }))
      if (value === undefined) delete env[name]
      else env[name] = value
  })
  const asUser = (uid: number): void => void Object.defineProperty(process, 'getuid', { value: () => uid })
  asUser(0)
  assert.equal(defaultRoot(), '/var/lib/onefold')
  asUser(1000)
  env['HOME'] = '/home/u'
  env['XDG_DATA_HOME'] = '/data'
  assert.equal(defaultRoot(), '/data/onefold')
  env['XDG_DATA_HOME'] = 'relative'
  assert.equal(defaultRoot(), '/home/u/.local/share/onefold')
})
