import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { runOnefold } from '../fixtures/command.ts'
import { LayoutBuilder, file } from '../fixtures/images.ts'
import { fill } from '../fixtures/loop-disk.ts'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { files, twoImages } from '../fixtures/two-images.ts'
import { noise } from '../servers/registry.ts'

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
