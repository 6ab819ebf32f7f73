import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { onefold, runOnefold } from '../fixtures/command.ts'
import { type BuiltImage, LayoutBuilder, type TestEntry, file } from '../fixtures/images.ts'
import { fill } from '../fixtures/loop-disk.ts'
import { needsOpenCheckout, needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { noise } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'

/** The command among other processes, users, signals and file systems. */

const files = (folder: string, count: number): TestEntry[] =>
  Array.from({ length: count }, (_, i) => file(`${folder}/f${i}`, Buffer.alloc(1000 + i, `${folder} ${i} `)))

/** A layout with image `a`, and with `b`, which shares a layer with it. */
function twoImages(folder: string): { a: BuiltImage; b: BuiltImage } {
  const layout = new LayoutBuilder(folder)
  const images = {
    a: layout.image({ layers: [files('shared', 300), files('a', 300)] }),
    b: layout.image({ layers: [files('shared', 300), files('b', 300)] }),
  }
  for (const [name, { manifest }] of Object.entries(images)) layout.tag(manifest, name)
  return images
}

interface Outcome {
  readonly code: number | null
  readonly err: string
}

/** Runs a command beside others. */
async function startOnefold(args: readonly string[]): Promise<Outcome> {
  const child = spawn(onefold, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, err }
}

describe('many at once', () => {
  test('pulls, removals, tags, collections and checks leave a store without damage, and everything named in it', async () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--quiet', '--store', place.at('store')]
    const pull = (image: string, name: string): readonly string[] => [
      'pull',
      `oci:${place.at('layout')}:${image}`,
      '--name',
      name,
    ]
    await startOnefold([...store, ...pull('a', 'kept')])
    const until = Date.now() + 6000
    let checks = 0
    const repeat = async (...commands: readonly (readonly string[])[]): Promise<void> => {
      while (Date.now() < until)
        for (const command of commands) {
          const { code, err } = await startOnefold([...store, ...command])
          // Collections and checks take turns, and say so.
          const isTurn = (command[0] === 'gc' || command[0] === 'fsck') && code === 1 && /is at it/.test(err)
          assert.ok(code === 0 || isTurn, `${command.join(' ')}: ${code} ${err}`)
          if (command[0] === 'fsck' && code === 0) checks++
        }
    }
    await Promise.all([
      repeat(pull('a', 'one')),
      repeat(pull('a', 'one'), ['rm', '--ignore', 'one', 'two']),
      repeat(pull('b', 'two')),
      repeat(['gc']),
      repeat(['tag', 'kept', 'again'], ['tag', 'kept', 'again'], ['rm', 'again']),
      repeat(['fsck'], ['ls', 'kept']),
    ])
    assert.ok(checks > 0, 'no check came to its turn')
    assert.equal(runOnefold([...store, 'fsck', '--rebuild']).code, 0)
    assert.equal(runOnefold([...store, 'cat', 'kept', 'a/f299']).out, Buffer.alloc(1299, 'a 299 ').toString())
    assert.deepEqual(fs.readdirSync(place.at('store/tmp')), [])
  })

  test('mounts go on beside collections', { skip: needsRoot }, async () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--quiet', '--store', place.at('store')]
    const pull = ['pull', `oci:${place.at('layout')}:a`, '--name', 'app']
    await startOnefold([...store, ...pull])
    const target = place.at('target')
    assert.equal((await startOnefold([...store, 'mount', 'app', target])).code, 0)
    await startOnefold([...store, 'rm', 'app'])
    await Promise.all([startOnefold([...store, 'gc']), startOnefold([...store, 'gc'])])
    assert.equal(fs.readFileSync(`${target}/a/f7`, 'utf8'), Buffer.alloc(1007, 'a 7 ').toString())
    assert.equal(runOnefold([...store, 'umount', target]).code, 0)
    assert.equal(runOnefold([...store, 'umount', target]).code, 3)
    assert.match(runOnefold([...store, 'gc']).out, / 600 objects/)
  })

  test('a mount that somebody else took away is told, and tidied up', { skip: needsRoot }, () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--quiet', '--store', place.at('store')]
    const mount = [...store, 'mount', `oci:${place.at('layout')}:a`, place.at('target')]
    const states = (): string[] =>
      (JSON.parse(runOnefold([...store, '--json', 'mounts', '--all']).out) as { state: string }[]).map(
        ({ state }) => state,
      )
    assert.equal(runOnefold(mount).code, 0)
    assert.deepEqual(states(), ['mounted'])
    execFileSync('umount', [place.at('target')])
    assert.deepEqual(states(), ['gone'])
    assert.equal(runOnefold([...store, 'gc']).code, 0)
    assert.deepEqual(states(), [])
    assert.equal(runOnefold(mount).code, 0)
    const busy = fs.openSync(place.at('target/a/f1'), 'r')
    const { code, err } = runOnefold([...store, 'umount', place.at('target')])
    assert.equal(code, 1)
    assert.match(err, /in use\n {2}.*fuser.*--lazy/)
    fs.closeSync(busy)
    assert.equal(runOnefold([...store, 'umount', place.at('target')]).code, 0)
  })
})

describe('signals and streams', () => {
  const layers = [1, 2, 3].map((n) =>
    Array.from({ length: 40 }, (_, i) => file(`${n}/${i}`, noise(500_000, n * 100 + i))),
  )

  test('a pull that is interrupted ends with 130, says little and leaves nothing', async () => {
    using place = scratch('processes')
    const layout = new LayoutBuilder(place.at('layout'))
    layout.tag(layout.image({ layers }).manifest, 'big')
    const tmp = place.at('store/tmp')
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const args = ['--quiet', '--store', place.at('store'), 'pull', `oci:${layout.folder}:big`]
      const child = spawn(onefold, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      let err = ''
      child.stderr.on('data', (data: Buffer) => (err += data.toString()))
      // The first objects are staged: it is in the middle of its work.
      while (!isStaging(tmp) && child.exitCode === null) await sleep(5)
      child.kill(signal)
      const [code] = (await once(child, 'close')) as [number | null]
      assert.deepEqual([code, err], [130, 'onefold: interrupted\n'])
      assert.deepEqual([fs.readdirSync(tmp), fs.readdirSync(place.at('store/refs'))], [[], []])
    }
  })

  test('nobody has to read what it says', () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const command = `"${onefold}" --store "${place.at('store')}"`
    const shell = (script: string): Outcome => {
      const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
      return { code: status, err: stderr }
    }
    assert.deepEqual(shell(`${command} pull oci:${place.at('layout')}:a --name a 2>&- >&-`), { code: 0, err: '' })
    assert.deepEqual(shell(`${command} ls a shared | head -n 1 >/dev/null; exit \${PIPESTATUS[1]}`), {
      code: 0,
      err: '',
    })
    const full = shell(`${command} ls a >/dev/full`)
    assert.equal(full.code, 1)
    assert.match(full.err, /^onefold: Cannot write the result: no space left on device \(ENOSPC\)\n$/)
  })
})

function isStaging(tmp: string): boolean {
  try {
    return fs.readdirSync(tmp).some((id) => fs.readdirSync(`${tmp}/${id}/objects`).length > 20)
  } catch {
    return false
  }
}

describe('without root', { skip: needsRoot || needsOpenCheckout || needsPrograms('setpriv') }, () => {
  const uid = 54_321

  /** A store in a folder of that user's, with image `app`. */
  function userPlace(): ReturnType<typeof scratch> {
    const place = scratch('processes')
    twoImages(place.at('layout'))
    fs.chmodSync(place.path, 0o755)
    fs.mkdirSync(place.at('home'))
    fs.chownSync(place.at('home'), uid, uid)
    return place
  }

  test('everything works but mounts and runs, which say what they need', () => {
    using place = userPlace()
    const user = { uid, env: { PATH: process.env['PATH'], HOME: place.at('home') } }
    const run = (...args: readonly string[]): string => {
      const { code, out, err } = runOnefold(['--quiet', ...args], user)
      assert.equal(code, 0, `${args.join(' ')}: ${err}`)
      return out
    }
    run('pull', `oci:${place.at('layout')}:a`, '--name', 'a')
    assert.ok(fs.existsSync(place.at('home/.local/share/onefold/store.json')))
    run('pull', `oci:${place.at('layout')}:b`, '--name', 'b')
    assert.equal(run('ls', 'a'), 'a\nshared\n')
    assert.equal(run('cat', 'a', 'a/f1'), Buffer.alloc(1001, 'a 1 ').toString())
    assert.match(run('images'), /^a .*\nb /m)
    assert.equal(runOnefold(['diff', 'a', 'b'], user).code, 1)
    for (const args of [['inspect', 'a'], ['digest', 'a'], ['fsck'], ['gc'], ['mounts', '-a'], ['rm', 'b'], ['gc']])
      run(...args)
    for (const [args, code] of [
      [['mount', 'a', place.at('home/target')], 1],
      [['run', 'a', 'true'], 125],
    ] as const) {
      const ended = runOnefold(args, user)
      assert.equal(ended.code, code)
      assert.match(
        ended.err,
        /^onefold: Cannot mount: the kernel allows it to root only\n {2}run as root, or read the image/,
      )
    }
    assert.equal(fs.existsSync(place.at('home/target')), false)
    assert.equal(run('mounts', '-a').split('\n').length, 2)
  })

  test("another user's store can be read when it may be, and is not written to", () => {
    using place = userPlace()
    const store = ['--store', place.at('store')]
    assert.equal(runOnefold([...store, 'pull', `oci:${place.at('layout')}:a`, '--name', 'a']).code, 0)
    const user = { uid, env: { PATH: process.env['PATH'], HOME: place.at('home') } }
    const closed = runOnefold([...store, 'ls', 'a'], user)
    assert.deepEqual([closed.code, closed.err.includes('name a store of your own with --store')], [1, true], closed.err)
    fs.chmodSync(place.at('store'), 0o755)
    for (const args of [['ls', 'a'], ['cat', 'a', 'a/f1'], ['inspect', 'a'], ['digest', 'a'], ['images']])
      assert.equal(runOnefold([...store, ...args], user).code, 0, args.join(' '))
    for (const args of [['rm', 'a'], ['tag', 'a', 'b'], ['gc'], ['pull', `oci:${place.at('layout')}:b`]]) {
      const { code, err } = runOnefold([...store, ...args], user)
      assert.equal(code, 1, args.join(' '))
      assert.match(err, /^onefold: Cannot .*\n {2}\S/, args.join(' '))
    }
  })
})

describe('file systems', { skip: needsRoot || needsPrograms('mount', 'umount', 'mkfs.ext4') }, () => {
  test('a store on a read-only one is read as any other, and refuses the rest politely', () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--store', place.at('store')]
    assert.equal(runOnefold([...store, 'pull', `oci:${place.at('layout')}:a`, '--name', 'a']).code, 0)
    execFileSync('mount', ['--bind', place.at('store'), place.at('store')])
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', place.at('store')])
      for (const args of [
        ['ls', 'a'],
        ['cat', 'a', 'a/f1'],
        ['images'],
        ['inspect', 'a'],
        ['digest', 'a'],
        ['fsck'],
        ['mounts'],
      ])
        assert.equal(runOnefold([...store, ...args]).code, 0, args.join(' '))
      for (const args of [
        ['rm', 'a'],
        ['tag', 'a', 'b'],
        ['gc'],
        ['pull', `oci:${place.at('layout')}:b`],
        ['mount', 'a'],
      ]) {
        const { code, err } = runOnefold([...store, ...args])
        assert.equal(code, 1, args.join(' '))
        assert.match(err, /^onefold: Cannot .*read-only file system \(EROFS\)\n {2}\S/, args.join(' '))
      }
    } finally {
      execFileSync('umount', [place.at('store')])
    }
  })

  test('a full one is told, and the store on it stays whole', () => {
    using place = scratch('processes')
    const layout = new LayoutBuilder(place.at('layout'))
    layout.tag(layout.image({ layers: [files('a', 100)] }).manifest, 'small')
    layout.tag(layout.image({ layers: [[file('large', noise(30_000_000))]] }).manifest, 'large')
    fs.writeFileSync(place.at('disk'), '')
    fs.truncateSync(place.at('disk'), 24_000_000)
    execFileSync('mkfs.ext4', ['-q', '-m', '0', place.at('disk')])
    fs.mkdirSync(place.at('mnt'))
    execFileSync('mount', ['-o', 'loop', place.at('disk'), place.at('mnt')])
    try {
      const store = ['--quiet', '--store', place.at('mnt/store')]
      assert.equal(runOnefold([...store, 'pull', `oci:${layout.folder}:small`, '--name', 'small']).code, 0)
      const { code, err } = runOnefold([...store, 'pull', `oci:${layout.folder}:large`])
      assert.equal(code, 1)
      assert.match(err, /^onefold: Cannot .*no space left on device \(ENOSPC\)\n {2}Free some space/)
      assert.deepEqual(fs.readdirSync(place.at('mnt/store/tmp')), [])
      fill(place.at('mnt/filler'))
      assert.equal(runOnefold([...store, 'tag', 'small', 'again']).code, 1)
      assert.deepEqual(fs.readdirSync(place.at('mnt/store/tmp')), [])
      assert.equal(runOnefold([...store, 'ls', 'small']).code, 0)
      assert.equal(runOnefold([...store, 'rm', 'small']).code, 0)
      // What the name took is free; nothing else is.
      assert.ok(fs.statfsSync(place.at('mnt')).bavail <= 1)
      assert.match(runOnefold([...store, 'gc']).out, / 100 objects/)
      assert.equal(runOnefold([...store, 'fsck']).code, 0)
    } finally {
      execFileSync('umount', [place.at('mnt')])
    }
  })
})
