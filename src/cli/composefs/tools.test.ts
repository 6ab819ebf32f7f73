import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { runTool } from './tools.ts'

const bin = fileURLToPath(new URL('../../../bin/composefs/', import.meta.url))
const digestOfRoot = '8f589e8f57ecb88823736b0d857ddca1e1068a23e264fad164b28f7038eb3682'
const rootLine = '/ 0 40755 2 0 0 0 0.0 - - -\n'

interface Ended {
  readonly code: number | null
  readonly out: Buffer
  readonly err: string
}

/** Runs a tool as a script would, with the folder in front of PATH. */
function run(cwd: string, line: readonly string[], options: { input?: Buffer | string; env?: object } = {}): Ended {
  const env = { ...process.env, ...options.env, PATH: `${bin}:${process.env['PATH']}` }
  const [tool = '', ...args] = line
  const { status, stdout, stderr } = spawnSync(tool, args, { cwd, env, input: options.input ?? '' })
  return { code: status, out: stdout, err: stderr.toString('latin1') }
}

/** Relative paths mean what lies there. */
function inside(path: string): Disposable {
  const before = process.cwd()
  process.chdir(path)
  return { [Symbol.dispose]: () => process.chdir(before) }
}

/** A folder with a directory `d`, its image `i` and some dumps. */
function sample(): ReturnType<typeof scratch> {
  const folder = scratch('tools')
  mkdirSync(folder.at('d'))
  writeFileSync(folder.at('d/big'), Buffer.alloc(100))
  writeFileSync(folder.at('d/small'), 'hi\n')
  writeFileSync(folder.at('root'), rootLine)
  writeFileSync(folder.at('no-newline'), rootLine.trim())
  writeFileSync(folder.at('empty'), '')
  assert.equal(run(folder.path, ['mkcomposefs', '--use-epoch', 'd', 'i']).code, 0)
  return folder
}

describe('command lines that the tools refuse', () => {
  const refused: [line: string, err: string | RegExp][] = [
    ['mkcomposefs', /^No source path specified\nUsage: mkcomposefs \[OPTIONS\] SOURCE IMAGE\n/],
    ['mkcomposefs d', /^No destination path specified\nUsage: /],
    ['mkcomposefs d x y', /^Too many arguments\nUsage: /],
    ['mkcomposefs --print-digest-only d x', /^Cannot specify destination path with --print-digest-only\nUsage: /],
    ['mkcomposefs -C d x', /^Usage: /],
    ['mkcomposefs --print d x', /^Usage: /],
    ['mkcomposefs --nope d x', /^Usage: /],
    ['mkcomposefs d x --digest-store', 'option needs a value\n'],
    ['mkcomposefs --min-version=x d x', 'Invalid min version x\n'],
    ['mkcomposefs --max-version= d x', 'Invalid max version \n'],
    ['mkcomposefs --min-version=2 d x', 'mkcomposefs: cannot write file: Invalid argument\n'],
    ['mkcomposefs --max-version=-1 d x', 'mkcomposefs: cannot write file: Invalid argument\n'],
    ['mkcomposefs --threads=0 d x', 'Invalid threads count 0\n'],
    ['mkcomposefs --threads=2.5 d x', 'Invalid threads count 2.5\n'],
    ['mkcomposefs nothing x', 'mkcomposefs: error accessing nothing: No such file or directory\n'],
    ['mkcomposefs d no/x', 'mkcomposefs: failed to open output file: No such file or directory\n'],
    ['mkcomposefs --skip-xattrs --user-xattrs d x', 'mkcomposefs: error accessing d: Invalid argument\n'],
    ['mkcomposefs --digest-store=root d x', 'mkcomposefs: cannot fill store: Not a directory\n'],
    ['mkcomposefs --from-file nothing x', 'mkcomposefs: open `nothing`: No such file or directory\n'],
    ['mkcomposefs --from-file d x', 'mkcomposefs: Error reading from file: Is a directory\n'],
    ['mkcomposefs --from-file empty x', /^mkcomposefs: Cannot read dump, line 1, column 1: nothing/],
    ['composefs-info', /^No command specified\nusage: composefs-info \[--basedir=path\] /],
    ['composefs-info nope', "composefs-info: Unknown command 'nope'\n"],
    ['composefs-info ls', /^No image path specified\nusage: /],
    ['composefs-info measure-file', /^No files specified\nusage: /],
    ['composefs-info ls nothing', "composefs-info: Failed to open 'nothing': No such file or directory\n"],
    ['composefs-info ls root', /^composefs-info: Failed to load 'root': /],
    ['composefs-info --filter=a/b ls i', 'composefs-info: Filter must be a single name: a/b\n'],
    ['composefs-info --filter', /^composefs-info: option '--filter' requires an argument\nusage: /],
    ['composefs-info --nope ls i', /^composefs-info: unrecognized option '--nope'\nusage: /],
    [
      'composefs-info --basedir=nothing objects i',
      "composefs-info: Can't open basedir `nothing`: No such file or directory\n",
    ],
    ['composefs-info --basedir=root objects i', "composefs-info: Can't open basedir `root`: Not a directory\n"],
    ['composefs-info measure-file nothing', "composefs-info: Failed to open 'nothing': No such file or directory\n"],
    ['composefs-info measure-file d', "composefs-info: failed to measure 'd': Is a directory\n"],
    ['composefs-dump', 'No source path specified\nusage: composefs-dump SRC DEST\n'],
    ['composefs-dump i', 'No destination path specified\nusage: composefs-dump SRC DEST\n'],
    ['composefs-dump nothing x', "composefs-dump: Failed to open 'nothing': No such file or directory\n"],
    ['composefs-dump root x', /^composefs-dump: Failed to get image version 'root': /],
    ['composefs-dump i no/x', "composefs-dump: failed to open 'no/x': No such file or directory\n"],
    ['mount.composefs', /^No source path specified\nusage: mount\.composefs /],
    ['mount.composefs i', /^No mount path specified\nusage: /],
    ['mount.composefs -x i d', /^mount\.composefs: invalid option -- 'x'\nusage: /],
    ['mount.composefs -t ext4 i d', "mount.composefs: Unsupported fs type 'ext4'\n"],
    ['mount.composefs -o basedir=d,no i d', 'mount.composefs: Unsupported option no\n'],
    ['mount.composefs -o basedir=d nothing d', 'mount.composefs: Failed to open nothing: No such file or directory\n'],
    ['mount.composefs -o basedir=d root d', 'mount.composefs: Failed to mount composefs root: Invalid argument\n'],
    [
      `mount.composefs -o basedir=d,digest=${'a'.repeat(64)} i d`,
      'mount.composefs: Failed to mount composefs i: Image has no fs-verity\n',
    ],
    [
      'mount.composefs -o basedir=d,idmap=no i d',
      'mount.composefs: Failed to open userns no: No such file or directory\n',
    ],
  ]
  test('end with status 1, say why, and make nothing', async () => {
    using folder = sample()
    using _here = inside(folder.path)
    for (const [line, err] of refused) {
      const [tool = '', ...args] = line.split(' ')
      const ended = await runTool(tool, args)
      if (typeof err === 'string') assert.equal(ended.err, err, line)
      else assert.match(ended.err, err, line)
      assert.equal(ended.status, 1, line)
      assert.deepEqual(existsSync(folder.at('x')) ? readFileSync(folder.at('x')).length : 0, 0, line)
      rmSync(folder.at('x'), { force: true })
    }
  })

  test('an empty source is one', () => {
    using folder = sample()
    const { code, err } = run(folder.path, ['mkcomposefs', '', 'x'])
    assert.deepEqual([code, err], [1, 'mkcomposefs: Empty source path specified\n'])
  })

  test('an image is not written to a terminal', { skip: needsPrograms('script') }, () => {
    using folder = sample()
    const { out } = run(folder.path, ['script', '-qec', 'mkcomposefs d -', '/dev/null'])
    assert.equal(out.toString().trim(), 'mkcomposefs: stdout is a tty.  Refusing to use it')
  })
})

describe('mkcomposefs', () => {
  test('reads dumps from files and stdin, writes to files and stdout, prints digests', () => {
    using folder = sample()
    const made = run(folder.path, ['mkcomposefs', '--from-file', '--print-digest', 'root', 'x'])
    assert.deepEqual([made.code, made.out.toString()], [0, `${digestOfRoot}\n`])
    const image = readFileSync(folder.at('x'))
    assert.equal(verityDigest(image), digestOfRoot)
    const piped = run(folder.path, ['mkcomposefs', '--from-file', '-', '-'], { input: rootLine })
    assert.deepEqual(piped.out, image)
    const both = run(folder.path, ['mkcomposefs', '--print-digest', '--from-file', 'root', '-'])
    assert.deepEqual(both.out, Buffer.concat([image, Buffer.from(`${digestOfRoot}\n`)]))
    const only = run(folder.path, ['mkcomposefs', 'root', '--from-file', '--print-digest-only'])
    assert.equal(only.out.toString(), `${digestOfRoot}\n`)
  })

  test('chooses the version as asked: given one bound, the other is 0', () => {
    using folder = sample()
    writeFileSync(folder.at('whiteout'), `${rootLine}/w 0 20644 1 0 0 0 0.0 - - -\n`)
    const versionOf = (...args: string[]): number => {
      const { out, code } = run(folder.path, ['mkcomposefs', '--from-file', ...args, '-'])
      assert.equal(code, 0)
      return out.readUInt32LE(12)
    }
    assert.equal(versionOf('root'), 0)
    assert.equal(versionOf('root', '--min-version=1'), 1)
    assert.equal(versionOf('root', '--max-version=1'), 0)
    assert.equal(versionOf('whiteout'), 1)
    assert.equal(versionOf('whiteout', '--min-version=0'), 0)
    assert.equal(versionOf('whiteout', '--max-version', '1'), 1)
    assert.equal(versionOf('whiteout', '--max-version=0'), 0)
    assert.equal(versionOf('root', '--min-version=1', '--max-version=0'), 1)
  })

  test('is lenient unless CFS_PARSE_STRICT is set, but never with a digest that is none', () => {
    using folder = sample()
    const strict = { CFS_PARSE_STRICT: '' }
    const cases: [dump: string, env: object, code: number][] = [
      [rootLine, strict, 0],
      [rootLine.trim(), {}, 0],
      [rootLine.trim(), strict, 1],
      [`${rootLine}/f 100 100644 1 0 0 0 0.0 x - 12\n`, {}, 1],
    ]
    for (const [input, env, code] of cases) {
      const ended = run(folder.path, ['mkcomposefs', '--from-file', '-', 'x'], { input, env })
      assert.equal(ended.code, code, input)
      if (code === 1) assert.match(ended.err, /^mkcomposefs: Cannot read dump, line \d, column \d+: /)
    }
  })

  test('a failure leaves an image that was there as it was', () => {
    using folder = sample()
    const before = readFileSync(folder.at('i'))
    assert.equal(run(folder.path, ['mkcomposefs', '--from-file', 'empty', 'i']).code, 1)
    assert.deepEqual(readFileSync(folder.at('i')), before)
    assert.equal(run(folder.path, ['mkcomposefs', '--from-file', 'root', 'i']).code, 0)
    assert.equal(verityDigest(readFileSync(folder.at('i'))), digestOfRoot)
  })

  test('fills a store, which composefs-info finds complete until something is taken away', () => {
    using folder = sample()
    assert.equal(run(folder.path, ['mkcomposefs', '--digest-store=a/store', 'd', 'x']).code, 0)
    const objects = run(folder.path, ['composefs-info', 'objects', 'x', 'x']).out.toString()
    const [object = ''] = objects.split('\n')
    assert.equal(objects, `${verityDigest(Buffer.alloc(100))}\n`.replace(/^../, '$&/'))
    assert.deepEqual(readFileSync(folder.at('a/store', object)), Buffer.alloc(100))
    assert.equal(lstatSync(folder.at('a/store', object)).mode & 0o777, 0o644)
    assert.deepEqual(readdirSync(folder.at('a/store')), [object.slice(0, 2)])
    const missing = (): string =>
      run(folder.path, ['composefs-info', '--basedir=a/store', 'missing-objects', 'x']).out.toString()
    assert.equal(missing(), '')
    rmSync(folder.at('a/store', object))
    assert.equal(missing(), objects)
    assert.equal(run(folder.path, ['composefs-info', 'missing-objects', 'x']).out.toString(), objects)
  })

  test('drops hard links as composefs does, and keeps them when told to', () => {
    using folder = sample()
    assert.equal(spawnSync('ln', ['d/big', 'd/other'], { cwd: folder.path }).status, 0)
    const links = (...options: string[]): (string | undefined)[] => {
      assert.equal(run(folder.path, ['mkcomposefs', ...options, 'd', 'x']).code, 0)
      const lines = run(folder.path, ['composefs-info', 'dump', 'x']).out.toString().split('\n')
      return lines.filter((line) => /^\/(big|other) /.test(line)).map((line) => line.split(' ').slice(2, 4).join(' '))
    }
    const mode = lstatSync(folder.at('d/big')).mode.toString(8)
    assert.deepEqual(links(), [`${mode} 1`, `${mode} 1`])
    assert.deepEqual(links('--hardlinks'), [`${mode} 2`, `@${mode} 2`])
  })
})

describe('the other tools', () => {
  test('composefs-info lists several images, filters, and measures files', () => {
    using folder = sample()
    const info = (...args: string[]): string => {
      const { code, out, err } = run(folder.path, ['composefs-info', ...args])
      assert.deepEqual([code, err], [0, ''])
      return out.toString()
    }
    const digest = verityDigest(Buffer.alloc(100))
    const listing = `/big\t@ ${digest.slice(0, 2)}/${digest.slice(2)}\n/small\n`
    assert.equal(info('ls', 'i'), listing)
    assert.equal(info('ls', 'i', 'i'), listing + listing)
    assert.equal(info('--filter=small', 'ls', 'i', '--filter', 'x'), '/small\n')
    assert.equal(info('--filter=', 'dump', 'i').split('\n').length, 2)
    assert.equal(
      info('measure-file', 'd/small', 'd/big'),
      `${verityDigest(Buffer.from('hi\n'))}\n${verityDigest(Buffer.alloc(100))}\n`,
    )
  })

  test('what composefs-info dumps, mkcomposefs turns into the same image; so does composefs-dump', () => {
    using folder = sample()
    const dump = run(folder.path, ['composefs-info', 'dump', 'i']).out
    assert.equal(run(folder.path, ['mkcomposefs', '--from-file', '-', 'x'], { input: dump }).code, 0)
    assert.deepEqual(readFileSync(folder.at('x')), readFileSync(folder.at('i')))
    writeFileSync(folder.at('x'), Buffer.alloc(100_000))
    assert.equal(run(folder.path, ['composefs-dump', 'i', 'x']).code, 0)
    assert.deepEqual(readFileSync(folder.at('x')), readFileSync(folder.at('i')))
  })

  test('mount.composefs -h explains itself', () => {
    using folder = sample()
    const { code, err } = run(folder.path, ['mount.composefs', '-h'])
    assert.equal(code, 0)
    assert.match(err, /^usage: mount\.composefs \[-t type\]/)
  })

  test('a tool is itself also behind a symlink, and with names that are no text', () => {
    using folder = sample()
    symlinkSync(join(bin, 'mkcomposefs'), folder.at('make'))
    symlinkSync('make', folder.at('mk'))
    const { code, out } = run(folder.path, ['./mk', '--from-file', '--print-digest-only', 'root'])
    assert.deepEqual([code, out.toString()], [0, `${digestOfRoot}\n`])
    const named = run(folder.path, [
      'sh',
      '-c',
      'cp root "$(printf "\\377 \\303\\251")" && mkcomposefs --from-file --print-digest-only *é && rm -- *é && mkcomposefs --from-file "$(printf "\\377")" x',
    ])
    assert.deepEqual(
      [named.out.toString(), named.err],
      [`${digestOfRoot}\n`, 'mkcomposefs: open `\xff`: No such file or directory\n'],
    )
  })
})
