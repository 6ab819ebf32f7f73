import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { OnefoldError, hasCode } from '../error.ts'
import { needsPrograms } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { Rootfs } from './container-root.ts'

test("text is the image's own, wherever its symlinks point", () => {
  using folder = scratch('rootfs')
  fs.mkdirSync(folder.at('root', 'etc'), { recursive: true })
  fs.writeFileSync(folder.at('secret'), 'of the host')
  fs.writeFileSync(folder.at('root', 'passwd'), 'of the image')
  const cases: readonly [link: string, want: string | undefined][] = [
    ['/passwd', 'of the image'],
    ['../passwd', 'of the image'],
    ['../../../../passwd', 'of the image'],
    ['../../secret', undefined],
    [folder.at('secret'), undefined],
    ['/etc', undefined],
    ['passwd', undefined], // itself
  ]
  for (const [link, want] of cases) {
    fs.rmSync(folder.at('root', 'etc', 'passwd'), { force: true })
    fs.symlinkSync(link, folder.at('root', 'etc', 'passwd'))
    using rootfs = new Rootfs(folder.at('root'))
    const read = (): string | undefined => rootfs.readText('/etc/passwd')
    if (link === 'passwd') assert.throws(read, (error) => hasCode(error, 'IO') && /ELOOP/.test(error.message))
    else assert.equal(read(), want, link)
  }
})

test('a pipe is not waited for, and a huge file is not read', { skip: needsPrograms('mkfifo') }, () => {
  using folder = scratch('rootfs')
  execFileSync('mkfifo', [folder.at('pipe')])
  fs.writeFileSync(folder.at('huge'), '')
  fs.truncateSync(folder.at('huge'), 17 << 20)
  using rootfs = new Rootfs(folder.path)
  assert.equal(rootfs.readText('pipe'), undefined)
  assert.throws(
    () => rootfs.readText('huge'),
    (error) => hasCode(error, 'LIMIT'),
  )
})

test('directories are made inside, through symlinks that stay inside, and nowhere else', () => {
  using folder = scratch('rootfs')
  fs.mkdirSync(folder.at('root', 'run'), { recursive: true })
  fs.mkdirSync(folder.at('host'))
  fs.mkdirSync(folder.at('root', 'var'))
  fs.symlinkSync('/run', folder.at('root', 'var', 'run'))
  fs.symlinkSync('../../host', folder.at('root', 'out'))
  fs.symlinkSync(folder.at('host'), folder.at('root', 'away'))
  fs.writeFileSync(folder.at('root', 'file'), '')
  using rootfs = new Rootfs(folder.at('root'))
  rootfs.makeDirectories('/')
  rootfs.makeDirectories('/a/b/c')
  rootfs.makeDirectories('/a/b/c')
  rootfs.makeDirectories('/var/run/d')
  assert.ok(fs.statSync(folder.at('root', 'a', 'b', 'c')).isDirectory())
  assert.ok(fs.statSync(folder.at('root', 'run', 'd')).isDirectory())
  for (const path of ['/out/x', '/away/x', '/file/x', '/file']) {
    assert.throws(() => rootfs.makeDirectories(path), OnefoldError, path)
  }
  assert.deepEqual(fs.readdirSync(folder.at('host')), [])
})
