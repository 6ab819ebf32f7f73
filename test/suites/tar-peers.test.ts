/** Tars written by other programs give the files they were made of, and come back from their recipes bit for bit. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  constants,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { describe, test } from 'node:test'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { checkRecipe, rebuild, takeApart } from '../fixtures/tar-parts.ts'
import { vectors, withoutVectors } from '../vectors.ts'
import type { Entry } from '../../src/formats/entry.ts'
import { pathToBytes } from '../../src/paths.ts'

const longName = `${'n'.repeat(90)}/${'m'.repeat(90)}/${'o'.repeat(90)}`

/** Entries in a few words: what every dialect can hold, and its time if it has a fraction. */
function describeAll(tar: Buffer): Map<string, string> {
  const parts = takeApart(tar, 1 << 20)
  checkRecipe(tar, parts)
  for (const step of [1, 700]) if (tar.length < 100_000) assert.deepEqual(takeApart(tar, step).recipe, parts.recipe)
  return new Map(parts.entries.map((entry, i) => [entry.path, describeEntry(entry, parts.contents[i]!)]))
}

function describeEntry(entry: Entry, bytes: Buffer): string {
  const { type, mode, uid, gid, mtime, mtimeNsec, link } = entry
  const xattrs = [...entry.xattrs].map(([name, value]) => ` ${name}=${Buffer.from(value).toString('hex')}`).join('')
  const content = bytes.length < 20 ? JSON.stringify(bytes.toString('latin1')) : `${bytes.length} bytes`
  const time = mtimeNsec === 0 ? `${mtime}` : `${mtime}.${mtimeNsec}`
  return `${type} ${mode.toString(8)} ${uid}:${gid} ${time} ${link || content}${xattrs}`
}

describe('GNU tar', { skip: needsPrograms('tar', 'mkfifo') }, () => {
  const times = { '--mtime': '@1700000000', '--sort': 'name', '--owner': '1', '--group': '2' }
  const flags = Object.entries(times).map(([key, value]) => `${key}=${value}`)

  /** A folder `t` with something of everything the dialect takes. */
  function makeTree(at: (...names: string[]) => string, long: boolean): void {
    mkdirSync(at('t'))
    writeFileSync(at('t', 'a'), 'hello', { mode: 0o640 })
    writeFileSync(at('t', 'big'), 'b'.repeat(70_000))
    writeFileSync(at('t', 'empty'), '')
    linkSync(at('t', 'a'), at('t', 'hard'))
    symlinkSync('../nowhere', at('t', 'soft'))
    writeFileSync(pathToBytes(`${at('t')}/\xff\xfe`), 'bytes')
    if (!long) return
    mkdirSync(at('t', longName), { recursive: true })
    writeFileSync(at('t', longName, 'deep'), 'deep')
    symlinkSync('s'.repeat(150), at('t', 'long-link'))
    execFileSync('mkfifo', ['-m', '600', at('t', 'fifo')])
  }

  const everywhere = {
    t: 'directory 755 1:2 1700000000 ""',
    't/a': 'file 640 1:2 1700000000 "hello"',
    't/big': 'file 644 1:2 1700000000 70000 bytes',
    't/empty': 'file 644 1:2 1700000000 ""',
    't/hard': 'hardlink 640 1:2 1700000000 t/a',
    't/soft': 'symlink 777 1:2 1700000000 ../nowhere',
    't/\xff\xfe': 'file 644 1:2 1700000000 "bytes"',
  }
  const notInV7 = {
    [`t/${longName}/deep`]: 'file 644 1:2 1700000000 "deep"',
    't/long-link': `symlink 777 1:2 1700000000 ${'s'.repeat(150)}`,
    't/fifo': 'fifo 600 1:2 1700000000 ""',
  }

  for (const format of ['v7', 'ustar', 'oldgnu', 'gnu', 'pax'])
    test(`--format=${format}`, () => {
      using folder = scratch('tar')
      const long = format !== 'v7' && format !== 'ustar'
      makeTree(folder.at, long)
      execFileSync('tar', ['-C', folder.path, `--format=${format}`, ...flags, '-cf', folder.at('out.tar'), 't'])
      const found = describeAll(readFileSync(folder.at('out.tar')))
      for (const [path, expected] of Object.entries(long ? { ...everywhere, ...notInV7 } : everywhere))
        assert.equal(found.get(path), expected, path)
      assert.equal(found.size, long ? 13 : 7)
    })

  for (const version of ['old GNU', '0.0', '0.1', '1.0'])
    test(`sparse, ${version}`, () => {
      using folder = scratch('tar')
      const file = openSync(folder.at('sparse'), constants.O_CREAT | constants.O_WRONLY)
      for (let i = 0; i < 40; i++) writeSync(file, `part ${i}`, i * 200_000)
      writeFileSync(folder.at('after'), 'after')
      const kind = version === 'old GNU' ? ['--format=gnu'] : ['--format=pax', `--sparse-version=${version}`]
      execFileSync('tar', ['-C', folder.path, '-S', ...kind, ...flags, '-cf', folder.at('out.tar'), 'sparse', 'after'])
      const tar = readFileSync(folder.at('out.tar'))
      assert.ok(tar.length < 1_000_000)
      const parts = takeApart(tar, 1 << 16)
      checkRecipe(tar, parts)
      assert.deepEqual(
        parts.entries.map(({ path }) => path),
        ['sparse', 'after'],
      )
      assert.ok(parts.contents[0]!.equals(readFileSync(folder.at('sparse'))))
      assert.ok((parts.bodies[0]!.ranges?.length ?? 0) >= 40)
    })

  test('times before 1970 and between seconds', () => {
    using folder = scratch('tar')
    writeFileSync(folder.at('old'), '')
    writeFileSync(folder.at('fraction'), '')
    execFileSync('touch', ['-d', '@-5', folder.at('old')]) // Node itself takes a negative time for now
    utimesSync(folder.at('fraction'), 1.25, 1.25)
    for (const format of ['gnu', 'pax']) {
      const tar = execFileSync('tar', ['-C', folder.path, `--format=${format}`, '-c', 'old', 'fraction'])
      const times = takeApart(tar).entries.map(({ mtime, mtimeNsec }) => [mtime, mtimeNsec])
      assert.deepEqual(times, [[-5, 0], format === 'pax' ? [1, 250_000_000] : [1, 0]])
    }
  })

  test('extended attributes', { skip: needsPrograms('setfattr') || needsRoot }, () => {
    using folder = scratch('tar')
    writeFileSync(folder.at('a'), '')
    execFileSync('setfattr', ['-n', 'user.test', '-v', '0x000aff', folder.at('a')])
    const tar = execFileSync('tar', ['-C', folder.path, '--format=pax', '--xattrs', '--xattrs-include=*', '-c', 'a'])
    assert.deepEqual(takeApart(tar).entries[0]!.xattrs.get('user.test'), Uint8Array.of(0, 10, 255))
  })
})

const pythonScript = `
import io, sys, tarfile
kind = dict(ustar=tarfile.USTAR_FORMAT, gnu=tarfile.GNU_FORMAT, pax=tarfile.PAX_FORMAT)[sys.argv[1]]
out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=kind, errors='surrogateescape')
def add(name, type=tarfile.REGTYPE, body=b'', **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = type, len(body), 1700000000
    for key, value in fields.items(): setattr(info, key, value)
    out.addfile(info, io.BytesIO(body))
add('dir', tarfile.DIRTYPE, mode=0o1777)
add('dir/file', body=b'hello', uid=1000, gid=1001)
add('dir/hard', tarfile.LNKTYPE, linkname='dir/file')
add('dir/soft', tarfile.SYMTYPE, linkname='../x')
add('dev', tarfile.CHRTYPE, devmajor=1, devminor=3)
add('blk', tarfile.BLKTYPE, devmajor=259, devminor=100000)
add('fifo', tarfile.FIFOTYPE)
if sys.argv[1] != 'ustar':
    add('l' * 120 + '/' + 'k' * 120, body=b'long', uid=3000000000, linkname='')
    add('link', tarfile.SYMTYPE, linkname='t' * 300)
if sys.argv[1] == 'pax':
    add('time', mtime=1234.5, pax_headers={'SCHILY.xattr.user.a': 'v', 'comment': 'x\\ny'})
out.close()
`

test("Python's tarfile", { skip: needsPrograms('python3') }, () => {
  const run = (format: string): Map<string, string> =>
    describeAll(execFileSync('python3', ['-c', pythonScript, format], { maxBuffer: 1 << 20 }))
  const ustar = {
    dir: 'directory 1777 0:0 1700000000 ""',
    'dir/file': 'file 644 1000:1001 1700000000 "hello"',
    'dir/hard': 'hardlink 644 0:0 1700000000 dir/file',
    'dir/soft': 'symlink 644 0:0 1700000000 ../x',
    dev: 'char 644 0:0 1700000000 ""',
    blk: 'block 644 0:0 1700000000 ""',
    fifo: 'fifo 644 0:0 1700000000 ""',
  }
  const gnu = {
    ...ustar,
    [`${'l'.repeat(120)}/${'k'.repeat(120)}`]: 'file 644 3000000000:0 1700000000 "long"',
    link: `symlink 644 0:0 1700000000 ${'t'.repeat(300)}`,
  }
  const pax = { ...gnu, time: 'file 644 0:0 1234.500000000 "" user.a=76' }
  for (const [format, expected] of Object.entries({ ustar, gnu, pax }))
    assert.deepEqual(Object.fromEntries(run(format)), expected)
})

for (const layer of ['one-tree/layer1.tar', 'one-tree/layer2.tar'])
  test(`${layer} comes back from its recipe`, { skip: withoutVectors(layer) }, () => {
    const tar = readFileSync(vectors(layer)!)
    const parts = takeApart(tar, 1 << 18)
    checkRecipe(tar, parts)
    assert.ok(rebuild(parts).equals(tar))
    assert.deepEqual(takeApart(tar, 4093).recipe, parts.recipe)
  })
