import assert from 'node:assert/strict'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseDump } from '../../src/formats/dump/read-dump.ts'
import { writeErofs } from '../../src/formats/composefs/write-image.ts'
import { verityDigest } from '../../src/formats/fsverity/verity-digest.ts'
import { setXattr } from '../../src/linux/xattr.ts'
import { runOnefold } from '../fixtures/command.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

const mountTool = fileURLToPath(new URL('../../bin/composefs/mount.composefs', import.meta.url))

function run(...args: string[]): string {
  const { code, out, err } = runOnefold(['image', ...args])
  assert.equal(code, 0, err)
  return out
}

function refused(code: number, ...args: string[]): string {
  const ended = runOnefold(['image', ...args])
  assert.equal(ended.code, code, ended.err)
  return ended.err
}

function makeTree(path: string): void {
  mkdirSync(`${path}/etc`, { recursive: true })
  writeFileSync(`${path}/etc/small`, 'hello')
  writeFileSync(`${path}/large`, 'x'.repeat(5000))
  linkSync(`${path}/large`, `${path}/again`)
  symlinkSync('etc/small', `${path}/link`)
  // Older than what a cache remembers; ctime is waited for.
  for (const name of ['etc/small', 'large', 'etc', '']) utimesSync(`${path}/${name}`, 1000, 1000)
}

describe('onefold image', () => {
  test('makes an image, tells what it holds, and makes the same of its dump', () => {
    using folder = scratch('image')
    const [tree, image, objects] = [folder.at('tree'), folder.at('a.cfs'), folder.at('objects')]
    makeTree(tree)
    const digest = run('create', tree, image, '--digest-store', objects).trim()
    assert.equal(verityDigest(readFileSync(image)), digest)
    const large = verityDigest(Buffer.from('x'.repeat(5000)))
    assert.equal(readFileSync(`${objects}/${large.slice(0, 2)}/${large.slice(2)}`, 'latin1'), 'x'.repeat(5000))

    const [info] = JSON.parse(run('info', '--json', image)) as object[]
    assert.deepEqual(info, {
      file: image,
      digest,
      format: 0,
      bytes: readFileSync(image).length,
      inodes: 5,
      names: 5,
      objects: 1,
      objectBytes: 5000,
    })
    assert.deepEqual(run('ls', image).trim().split('\n'), ['again', 'etc', 'etc/small', 'large', 'link'])
    assert.equal(run('objects', image), `${large.slice(0, 2)}/${large.slice(2)}\n`)
    assert.equal(run('objects', '--missing', objects, image), '')
    assert.deepEqual(JSON.parse(run('objects', '--json', '--missing', tree, image)), [
      { path: `${large.slice(0, 2)}/${large.slice(2)}`, size: 5000 },
    ])

    const dump = folder.at('a.dump')
    writeFileSync(dump, run('dump', image), 'latin1')
    assert.equal(run('create', '--dump', dump, folder.at('b.cfs')).trim(), digest)
    assert.deepEqual(readFileSync(folder.at('b.cfs')), readFileSync(image))
    assert.deepEqual(
      readdirSync(folder.path).filter((name) => name.startsWith('.')),
      [],
    )
  })

  test('is strict where --compat is not', () => {
    using folder = scratch('image')
    const dump = folder.at('a.dump')
    writeFileSync(dump, '/ 0 40755 2 0 0 0 0.0 - - -\n/f +5 100644 1 0 0 0 0.0 - hello -')
    assert.match(refused(1, 'create', '--dump', dump), /line 2, column \d+/)
    assert.match(run('create', '--compat', '--dump', dump), /^[0-9a-f]{64}\n$/)
    const foreign = folder.at('foreign.dump')
    writeFileSync(foreign, `/ 0 40755 2 0 0 0 0.0 - - -\n/f 500 100644 1 0 0 0 0.0 ab/cd - ${'0'.repeat(64)}\n`)
    run('create', '--dump', foreign, folder.at('foreign.cfs'))
    assert.match(refused(1, 'dump', folder.at('foreign.cfs')), /its bytes at/)
    assert.equal(run('dump', '--compat', folder.at('foreign.cfs')).split('\n').length, 3)
    for (const bad of ['GID', 'RDEV', 'DIGEST']) {
      const fields = '/f 500 100644 1 1 0 0 0.0 - - -'.split(' ')
      fields[bad === 'GID' ? 5 : bad === 'RDEV' ? 6 : 10] = 'zz'
      writeFileSync(dump, `/ 0 40755 2 0 0 0 0.0 - - -\n${fields.join(' ')}\n`)
      assert.match(refused(1, 'create', '--compat', '--dump', dump), new RegExp(`line 2, column \\d+: ${bad}`))
    }
  })

  test('says what it does not take', () => {
    assert.match(refused(2), /image takes one of create, dump, ls, info, objects, mount/)
    assert.match(refused(2, 'info'), /image info takes FILE/)
    assert.match(refused(2, 'dump', 'x', '--cache', 'y'), /image dump takes no --cache/)
    assert.match(refused(2, 'create', '.', '--link'), /--digest-store/)
    assert.match(refused(3, 'info', '/nonexistent'), /Cannot read "\/nonexistent"/)
  })

  test('objects become links where that is asked for and blocks cannot be shared', () => {
    using folder = scratch('image')
    const [tree, objects] = [folder.at('tree'), folder.at('objects')]
    mkdirSync(tree)
    writeFileSync(`${tree}/f`, 'y'.repeat(100))
    run('create', tree, '--digest-store', objects, '--link')
    const digest = verityDigest(Buffer.from('y'.repeat(100)))
    assert.equal(lstatSync(`${objects}/${digest.slice(0, 2)}/${digest.slice(2)}`).ino, lstatSync(`${tree}/f`).ino)
  })

  test('a mount shows the tree', { skip: needsRoot }, () => {
    using folder = scratch('image')
    const [tree, image, objects, target] = ['tree', 'a.cfs', 'objects', 'mnt'].map((name) => folder.at(name))
    assert.ok(tree !== undefined && image !== undefined && objects !== undefined && target !== undefined)
    makeTree(tree)
    mkdirSync(target)
    run('create', tree, image, '--digest-store', objects)
    run('mount', '--objects', objects, image, target)
    try {
      assert.equal(readFileSync(`${target}/again`, 'latin1'), 'x'.repeat(5000))
      assert.equal(readFileSync(`${target}/link`, 'latin1'), 'hello')
    } finally {
      execFileSync('umount', [target])
    }
  })
})

describe('an image with a path that leaves the objects', () => {
  const dump = `/ 0 40755 2 0 0 0 0.0 - - -\n/f 70 100644 1 0 0 0 0.0 ../secret - ${'12'.repeat(32)}\n`

  test('is refused by name', () => {
    using folder = scratch('image')
    const [image, objects, target] = [folder.at('a.cfs'), folder.at('objects'), folder.at('mnt')]
    writeFileSync(image, writeErofs(parseDump(Buffer.from(dump), { compat: true })).bytes)
    for (const folderPath of [objects, target]) mkdirSync(folderPath)
    for (const action of ['ls', 'info', 'dump', 'objects'])
      assert.match(
        refused(1, action, image),
        /has the redirect "\/\.\.\/secret"; expected an absolute path without detours/,
      )
    assert.match(
      refused(1, 'mount', '--objects', objects, image, target),
      /its file "\/f" has its bytes at "\.\.\/secret", expected a path that stays in the objects/,
    )
  })

  test("gives nothing even when composefs' own command mounts it", { skip: needsRoot }, () => {
    using folder = scratch('image')
    const [image, objects, target] = [folder.at('a.cfs'), folder.at('objects'), folder.at('mnt')]
    writeFileSync(image, writeErofs(parseDump(Buffer.from(dump), { compat: true })).bytes)
    for (const folderPath of [objects, target]) mkdirSync(folderPath)
    writeFileSync(folder.at('secret'), 's'.repeat(70))
    execFileSync(mountTool, ['-o', `basedir=${objects}`, image, target])
    try {
      assert.throws(() => readFileSync(`${target}/f`))
    } finally {
      execFileSync('umount', [target])
    }
  })
})

describe('a scan with a cache', () => {
  test('finds the same, reads what changed, and makes objects of bytes it has read', async () => {
    using folder = scratch('image')
    const [tree, cache, objects] = [folder.at('tree'), folder.at('cache'), folder.at('objects')]
    makeTree(tree)
    await past(tree)
    const digest = run('create', tree)
    assert.equal(run('create', tree, '--cache', cache), digest)
    assert.equal(lstatSync(cache).mode & 0o777, 0o600)
    const made = lstatSync(cache).mtimeMs
    assert.equal(run('create', tree, '--cache', cache), digest)
    assert.equal(lstatSync(cache).mtimeMs, made, 'nothing new is not written')

    // The digest in the cache is not what the file has: it shows in the tree, and never in an object.
    const bytes = readFileSync(cache)
    const large = Buffer.from(verityDigest(Buffer.from('x'.repeat(5000))), 'hex')
    const at = bytes.indexOf(large)
    assert.ok(at > 0)
    bytes[at] = (bytes[at] as number) ^ 1
    const { createHash } = await import('node:crypto')
    createHash('sha256').update(bytes.subarray(64)).digest().copy(bytes, 32)
    writeFileSync(cache, bytes)
    assert.notEqual(run('create', tree, '--cache', cache), digest)
    assert.equal(run('create', tree, '--cache', cache, '--digest-store', objects), digest)

    writeFileSync(`${tree}/large`, 'z'.repeat(5000))
    utimesSync(`${tree}/large`, 1000, 1000)
    assert.equal(run('create', tree, '--cache', cache), run('create', tree))

    // A directory keeps its times when it gets an attribute, all but one.
    const before = run('create', tree, '--cache', cache)
    setXattr(`${tree}/etc`, 'user.label', Buffer.from('new'))
    for (let round = 0; round < 2; round++) assert.equal(run('create', tree, '--cache', cache), run('create', tree))
    assert.notEqual(run('create', tree, '--cache', cache), before)
    await past(`${tree}/etc`)
    for (let round = 0; round < 2; round++) assert.equal(run('create', tree, '--cache', cache), run('create', tree))
  })

  test('forgets what is damaged, and trusts nobody else', async () => {
    using folder = scratch('image')
    const [tree, cache] = [folder.at('tree'), folder.at('cache')]
    makeTree(tree)
    await past(tree)
    const digest = run('create', tree, '--cache', cache)
    const whole = readFileSync(cache)
    for (const damaged of [
      Buffer.alloc(0),
      whole.subarray(0, 70),
      Buffer.concat([whole, Buffer.of(1)]),
      Buffer.from('?'),
    ]) {
      writeFileSync(cache, damaged)
      assert.equal(run('create', tree, '--cache', cache), digest)
    }
    chmodSync(cache, 0o666)
    assert.match(refused(1, 'create', tree, '--cache', cache), /somebody else could have written it/)
    rmSync(cache)
    symlinkSync('/dev/null', cache)
    refused(1, 'create', tree, '--cache', cache)
  })
})

/** Until the ctime of what was just made is old enough to be remembered. */
async function past(tree: string): Promise<void> {
  const changed = lstatSync(tree).ctimeMs
  while (Date.now() - changed < 3100) await new Promise((resolve) => setTimeout(resolve, 100))
}
