import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { needsPrograms, needsRoot } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { composeImage } from '../../image/stream-image.ts'
import { unmount } from '../../linux/mount-calls.ts'
import { readMounts } from '../../linux/mountinfo.ts'
import { scanDirectory } from '../../scan/scan-directory.ts'
import { runTool } from './tools.ts'

/** A directory, its image `i` with objects in `o,1`, and a place to mount it. */
async function sample(): Promise<ReturnType<typeof scratch>> {
  const folder = scratch('composefs')
  for (const name of ['d', 'm', 'u', 'w']) fs.mkdirSync(folder.at(name))
  fs.writeFileSync(folder.at('d/big'), 'x'.repeat(1000))
  fs.writeFileSync(folder.at('d/small'), 'hi\n')
  fs.chownSync(folder.at('d/big'), 1000, 1001)
  const tree = await scanDirectory(folder.at('d'), { objects: folder.at('o,1') })
  fs.writeFileSync(folder.at('i'), composeImage(tree).bytes)
  return folder
}

async function mounted(folder: ReturnType<typeof scratch>, options: string): Promise<Disposable> {
  const basedir = folder.at('o,1').replaceAll(',', '\\,')
  const line = ['-o', `basedir=${basedir}${options}`, folder.at('i'), folder.at('m')]
  assert.deepEqual(await runTool('mount.composefs', line), { status: 0, err: '' })
  return { [Symbol.dispose]: () => unmount(folder.at('m')) }
}

describe('mount.composefs', { skip: needsRoot }, () => {
  test('shows the tree, read-only, and leaves nothing behind', async () => {
    using folder = await sample()
    {
      using _mount = await mounted(folder, '')
      assert.equal(fs.readFileSync(folder.at('m/big'), 'utf8'), 'x'.repeat(1000))
      assert.equal(fs.readFileSync(folder.at('m/small'), 'utf8'), 'hi\n')
      assert.equal(fs.statSync(folder.at('m/big')).uid, 1000)
      assert.throws(() => fs.writeFileSync(folder.at('m/new'), ''), { code: 'EROFS' })
      const [mount, ...others] = readMounts().filter(({ target }) => target.startsWith(folder.path))
      assert.deepEqual([mount?.source, mount?.type, others.length], ['composefs', 'overlay', 0])
    }
    assert.deepEqual(fs.readdirSync(folder.at('m')), [])
  })

  test('an upper directory takes what is written; ro forbids it', async () => {
    using folder = await sample()
    const options = `,upperdir=${folder.at('u')},workdir=${folder.at('w')}`
    {
      using _mount = await mounted(folder, options)
      fs.writeFileSync(folder.at('m/new'), 'new')
    }
    assert.deepEqual(fs.readdirSync(folder.at('u')), ['new'])
    using _again = await mounted(folder, `${options},ro`)
    assert.deepEqual(fs.readdirSync(folder.at('m')).sort(), ['big', 'new', 'small'])
    assert.throws(() => fs.writeFileSync(folder.at('m/new'), ''), { code: 'EROFS' })
  })

  test('maps ids by a user namespace', { skip: needsPrograms('unshare') }, async (t) => {
    using folder = await sample()
    const sleeper = spawn('unshare', ['--user', 'sh', '-c', 'echo ready; read _'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      const ready = await Promise.race([once(sleeper.stdout, 'data'), once(sleeper, 'exit')])
      if (typeof ready[0] === 'number') return t.skip('needs user namespaces, which are not to be had in a chroot')
      for (const map of ['uid_map', 'gid_map']) fs.writeFileSync(`/proc/${sleeper.pid}/${map}`, '0 100000 65536')
      using _mount = await mounted(folder, `,idmap=/proc/${sleeper.pid}/ns/user`)
      const { uid, gid } = fs.statSync(folder.at('m/big'))
      assert.deepEqual([uid, gid], [101000, 101001])
    } finally {
      sleeper.stdin.end('\n')
    }
  })

  test('refuses what cannot be mounted, and mounts nothing', async () => {
    using folder = await sample()
    const cases: [image: string, options: string, reason: RegExp][] = [
      ['i', 'basedir=/nowhere', /Failed to mount composefs \S+\/i: No such file or directory\n$/],
      ['d/big', `basedir=${folder.at('u')}`, /Failed to mount composefs \S+\/d\/big: Invalid argument\n$/],
      ['i', `basedir=${folder.at('u')},digest=${'0'.repeat(64)}`, /: Image has no fs-verity\n$/],
      ['i', `basedir=${folder.at('u')},digest=0`, /Cannot read digest "0"/],
      ['i', `basedir=${folder.at('u')},idmap=${folder.at('i')}`, /Failed to mount composefs /],
    ]
    for (const [image, options, reason] of cases) {
      const { status, err } = await runTool('mount.composefs', ['-o', options, folder.at(image), folder.at('m')])
      assert.equal(status, 1, options)
      assert.match(err, reason)
    }
    assert.deepEqual(
      readMounts().filter(({ target }) => target.startsWith(folder.path)),
      [],
    )
  })
})
