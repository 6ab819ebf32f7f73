import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { commandTable } from '../../src/cli/commands.ts'
import { directory, file, hardlink, makeImage, symlink } from '../fixtures/images.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

const onefold = fileURLToPath(new URL('../../bin/onefold', import.meta.url))
const big = Buffer.alloc(3000, 'big file ')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function run(args: readonly string[], env: Record<string, string> = {}): Ended {
  const { status, stdout, stderr } = spawnSync(onefold, args, { encoding: 'utf8', env: { ...process.env, ...env } })
  return { code: status, out: stdout, err: stderr }
}

/** Runs a command that must succeed and print one JSON document. */
function json<T>(...args: readonly string[]): T {
  const { code, out, err } = run(['--json', ...args])
  assert.equal(code, 0, err)
  return JSON.parse(out) as T
}

function demoImage(): ReturnType<typeof makeImage> {
  return makeImage({
    layers: [
      [
        directory('etc'),
        file('etc/name', 'onefold\n', { mode: 0o4755 }),
        file('big', big),
        symlink('etc/link', '/big'),
      ],
    ],
  })
}

describe('help', () => {
  test('of the program names every command', () => {
    const { code, out } = run(['--help'])
    assert.equal(code, 0)
    for (const name of Object.keys(commandTable)) assert.match(out, new RegExp(`^  ${name} +\\S`, 'm'))
  })

  for (const name of Object.keys(commandTable))
    test(`of ${name} has usage and examples`, () => {
      const { code, out } = run([name, '--help'])
      assert.equal(code, 0)
      assert.match(out, new RegExp(`^Usage: onefold ${name} `))
      assert.match(out, /^Examples:\n {2}onefold /m)
    })
})

describe('the command line', () => {
  const wrong: readonly [args: readonly string[], message: RegExp][] = [
    [[], /^$/],
    [['frobnicate'], /there is no such command/],
    [['pull'], /pull takes one SOURCE/],
    [['pull', '--frobnicate', 'x'], /Unknown option '--frobnicate'/],
    [['ls', '--platform'], /argument missing/],
    [['pull', 'oci:/nonexistent:x', '--max-layer-size', 'much'], /Cannot read size "much"/],
  ]
  for (const [args, message] of wrong)
    test(`refuses "${args.join(' ')}" with exit code 2`, () => {
      using place = scratch('cli')
      const { code, err } = run(args, { ONEFOLD_STORE: place.at('store') })
      assert.equal(code, 2, err)
      assert.match(err.trim(), message)
    })

  test('takes global options before and after the command', () => {
    using place = scratch('cli')
    using image = demoImage()
    const store = place.at('store')
    assert.equal(run(['--store', store, 'pull', image.name, '--name', 'app']).code, 0)
    for (const args of [
      ['--store', store, 'images'],
      ['images', '--store', store],
      ['images', `--store=${store}`],
    ])
      assert.match(run(args).out, /^app /m)
    assert.match(run(['images'], { ONEFOLD_STORE: store }).out, /^app /m)
  })

  test('says what is not there with exit code 3, and does not make a store to look into', () => {
    using place = scratch('cli')
    const store = place.at('store')
    const { code, err } = run(['images', '--store', store])
    assert.deepEqual([code, existsSync(store)], [3, false])
    assert.match(err, /there is none/)
  })
})

describe('images without a mount', () => {
  test('are pulled, listed, read, compared, tagged and removed', () => {
    using place = scratch('cli')
    using image = demoImage()
    using other = makeImage({
      layers: [[directory('etc'), file('etc/name', 'other\n', { mode: 0o755 }), file('new', 'x')]],
    })
    const store = ['--store', place.at('store')]

    const pulled = run([...store, 'pull', image.name, '--name', 'app'])
    assert.deepEqual([pulled.code, pulled.out], [0, `${image.manifest.digest}\n`])
    const quiet = run([...store, '--quiet', 'pull', other.name, '--name', 'other'])
    assert.deepEqual([quiet.code, quiet.err], [0, ''])

    assert.equal(run([...store, 'ls', 'app']).out, 'big\netc\n')
    assert.equal(run([...store, 'ls', '-R', 'app', '/etc']).out, 'link\nname\n')
    assert.equal(
      run([...store, 'ls', '-l', 'app', 'etc']).out,
      'lrwxrwxrwx  1  0  0  4  1970-01-01T00:00:00Z  link -> /big\n-rwsr-xr-x  1  0  0  8  1970-01-01T00:00:00Z  name\n',
    )
    assert.equal(run([...store, 'cat', 'app', '/etc/name', '/etc/link']).out, `onefold\n${big.toString()}`)
    assert.equal(run([...store, 'cat', 'app', '/etc']).code, 2)
    assert.equal(run([...store, 'cat', 'app', '/nope']).code, 3)

    const diff = run([...store, 'diff', 'app', 'other'])
    assert.deepEqual([diff.code, diff.out], [1, '- /big\n- /etc/link\n~ /etc/name  (mode, size, content)\n+ /new\n'])
    assert.deepEqual(run([...store, 'diff', 'app', 'app']), { code: 0, out: '', err: '' })

    assert.equal(run([...store, 'tag', 'app', 'again']).code, 0)
    const listed = json<{ name: string; manifest: string }[]>(...store, 'images')
    assert.deepEqual(
      listed.map(({ name, manifest }) => [name, manifest]),
      [
        ['again', image.manifest.digest],
        ['app', image.manifest.digest],
        ['other', other.manifest.digest],
      ],
    )
    const digest = image.manifest.digest.slice('sha256:'.length, 'sha256:'.length + 12)
    assert.equal(run([...store, 'ls', digest]).out, 'big\netc\n')
    assert.equal(
      run([...store, 'inspect', '--manifest', 'app']).out,
      readFileSync(image.layout.pathOf(image.manifest.digest), 'utf8'),
    )
    assert.equal(
      json<{ image: string }>(...store, 'inspect', 'app').image,
      json<{ digest: string }[]>(...store, 'digest', 'app')[0]?.digest,
    )

    assert.doesNotMatch(run([...store, 'inspect', 'app']).out, /^ +format /m)
    const converted = `oci:${place.at('converted')}:app`
    assert.equal(run([...store, 'convert', 'app', '--to', 'zstd-chunked', converted]).code, 0)
    assert.match(run(['--store', place.at('second'), 'inspect', converted]).out, /^ {2}format {3}zstd:chunked$/m)

    assert.equal(run([...store, 'fsck', '--rebuild']).code, 0)
    assert.equal(run([...store, 'rm', 'app', 'again']).out, 'app\nagain\n')
    assert.equal(run([...store, 'rm', 'app']).code, 3)
    assert.equal(run([...store, 'rm', '--ignore', 'app']).code, 0)
    assert.match(run([...store, 'gc', '--dry-run']).out, /^would free .*: 1 records, 1 layers, 1 images/)
    assert.match(run([...store, 'gc']).out, /^freed .* 1 objects/)
    assert.equal(run([...store, 'fsck']).code, 0)
    assert.deepEqual(readdirSync(place.at('store/tmp')), [])
  })

  test('are listed a directory at a time as the whole tree has it', () => {
    using place = scratch('cli')
    using image = makeImage({
      layers: [
        [
          file('a/one', 'x', { xattrs: new Map([['user.k', Buffer.from('v')]]) }),
          hardlink('a/two', 'a/one'),
          directory('a/sub/deep'),
          file('a/\xff', big),
          symlink('to', 'a/sub/../../a/'),
        ],
      ],
    })
    const store = ['--store', place.at('store')]
    run([...store, 'pull', image.name, '--name', 'app'])
    type Json = { path: string | { hex: string }; names?: number; link?: string }
    const one = json<Json[]>(...store, 'ls', 'app', '/to')
    const all = json<Json[]>(...store, 'ls', '-R', 'app', 'a')
    assert.deepEqual(
      all.filter(({ link }) => link !== undefined).map(({ path, link }) => [path, link]),
      [['/a/two', '/a/one']],
    )
    // The first of several names is known to those who have seen all.
    for (const entry of all) delete entry.link
    assert.deepEqual(
      one,
      all.filter(({ path }) => path !== '/a/sub/deep'),
    )
    assert.deepEqual(
      one.map(({ path, names }) => [path, names]),
      [
        ['/a/one', 2],
        ['/a/sub', undefined],
        ['/a/two', 2],
        [{ hex: '2f612fff' }, undefined],
      ],
    )
    assert.equal(run([...store, 'ls', 'app', 'to']).out, 'one\nsub\ntwo\n\\xff\n')
    assert.equal(run([...store, 'ls', 'app', '/to/one']).out, 'a/one\n')
    const long = run([...store, 'ls', '-lR', 'app', 'a']).out.split('\n')
    assert.deepEqual(
      run([...store, 'ls', '-l', 'app', 'a']).out.split('\n'),
      long.filter((line) => !line.endsWith('deep')),
    )
    assert.equal(run([...store, 'cat', 'app', 'to/\\xff']).out, big.toString())
  })

  test('are pulled by commands that read, and not by those that change', () => {
    using place = scratch('cli')
    using image = demoImage()
    const store = ['--store', place.at('store')]
    assert.equal(run([...store, 'tag', image.name, 'app']).code, 3)
    assert.equal(run([...store, 'ls', image.name]).out, 'big\netc\n')
    assert.equal(json<unknown[]>(...store, 'images').length, 1)
  })

  test('show damage with exit code 4', () => {
    using place = scratch('cli')
    using image = demoImage()
    const store = ['--store', place.at('store')]
    run([...store, 'pull', image.name, '--name', 'app'])
    const [fan = ''] = readdirSync(place.at('store/objects'))
    const [object = ''] = readdirSync(place.at('store/objects', fan))
    writeFileSync(place.at('store/objects', fan, object), 'damage')
    const { code, out } = run([...store, 'fsck'])
    assert.equal(code, 4)
    assert.match(out, new RegExp(`^object ${fan}${object}: .*affects app`, 'm'))
    assert.equal(json<{ digest: string }[]>('digest', '--file', onefold).length, 1)
  })

  test('end quietly when nobody reads on', () => {
    using place = scratch('cli')
    using image = makeImage({ layers: [Array.from({ length: 20_000 }, (_, i) => file(`${'n'.repeat(50)}${i}`, 'x'))] })
    const store = place.at('store')
    run(['--store', store, 'pull', image.name, '--name', 'app'])
    const { stderr, stdout } = spawnSync('sh', ['-c', `"${onefold}" --store "${store}" ls app | head -n 1`], {
      encoding: 'utf8',
    })
    assert.deepEqual([stdout.length, stderr], [52, ''])
  })
})

describe('mounts', { skip: needsRoot }, () => {
  test('are made, listed and taken away, changes kept or thrown away', () => {
    using place = scratch('cli')
    using image = demoImage()
    const store = ['--store', place.at('store')]
    const target = place.at('target')
    const mounted = json<{ id: string; target: string }>(...store, 'mount', image.name, target)
    assert.equal(mounted.target, target)
    assert.equal(readFileSync(`${target}/etc/name`, 'utf8'), 'onefold\n')
    assert.ok(readFileSync(`${target}/big`).equals(big))
    assert.throws(() => writeFileSync(`${target}/new`, 'x'), { code: 'EROFS' })
    assert.match(run([...store, 'mounts']).out, new RegExp(`^${mounted.id} .* mounted +ro +${target}$`, 'm'))
    assert.equal(run([...store, 'umount', target]).code, 0)
    assert.equal(existsSync(target), false)

    mkdirSync(target)
    const writable = json<{ id: string }>(...store, 'mount', '--rw', image.name, target)
    writeFileSync(`${target}/etc/name`, 'changed\n')
    assert.equal(run([...store, 'umount', writable.id]).code, 0)
    assert.match(run([...store, 'mounts', '--all']).out, /kept/)
    json(...store, 'mount', '--upper', writable.id, image.name, target)
    assert.equal(readFileSync(`${target}/etc/name`, 'utf8'), 'changed\n')
    assert.equal(run([...store, 'umount', '--discard', target]).code, 0)
    assert.deepEqual([json<unknown[]>(...store, 'mounts', '--all'), readdirSync(target)], [[], []])
  })
})
