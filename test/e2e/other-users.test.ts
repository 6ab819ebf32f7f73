import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { runOnefold } from '../fixtures/command.ts'
import { needsOpenCheckout, needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { twoImages } from '../fixtures/two-images.ts'

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
