import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { OnefoldError } from '../error.ts'
import { needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { mountFlags } from './abi.ts'
import { attachLoop } from './loop.ts'
import { FsContext, attachMount, cloneMount, knowsFileSystem, setMountAttributes, unmount } from './mount-calls.ts'
import { readMounts } from './mountinfo.ts'
import { statfs } from './statfs.ts'
import { enableVerity, measureVerity } from './fs-verity.ts'

test('a file system is configured, attached, cloned read-only and taken away', { skip: needsRoot }, () => {
  using folder = scratch('mount')
  const [target, second] = [folder.at('a b\\c'), folder.at('second')]
  for (const path of [target, second]) fs.mkdirSync(path)
  attachTmpfs(target)
  const clone = cloneMount(target)
  setMountAttributes(clone, { set: mountFlags.MOUNT_ATTR_RDONLY })
  attachMount(clone, second)
  fs.closeSync(clone)
  fs.writeFileSync(`${target}/f`, 'seen')
  assert.equal(fs.readFileSync(`${second}/f`, 'utf8'), 'seen')
  assert.throws(() => fs.writeFileSync(`${second}/f`, ''), { code: 'EROFS' })
  assert.deepEqual(statfs(target).type, 'tmpfs')
  assert.deepEqual(mountedOn(target), ['tmpfs', 'onefold:test'])
  unmount(second)
  unmount(target)
  assert.equal(mountedOn(target), undefined)
})

test('an unmount of what is in use says BUSY; a lazy one succeeds', { skip: needsRoot }, () => {
  using folder = scratch('mount')
  attachTmpfs(folder.path)
  const fd = fs.openSync(folder.at('f'), 'w')
  assert.throws(
    () => unmount(folder.path),
    (error) => error instanceof OnefoldError && error.code === 'BUSY',
  )
  unmount(folder.path, { lazy: true })
  fs.closeSync(fd)
})

test("an error carries the kernel's own words", { skip: needsRoot }, () => {
  using context = new FsContext('tmpfs')
  assert.throws(
    () => context.setString('size', 'enormous'),
    (error) =>
      error instanceof OnefoldError && /^Cannot set "size" to "enormous" of tmpfs: EINVAL, .*size/.test(error.message),
  )
})

test('a kernel is asked which file systems it knows', { skip: needsRoot }, () => {
  assert.equal(knowsFileSystem('tmpfs'), true)
  assert.equal(knowsFileSystem('no-such-fs'), false)
})

test('a loop device reads the file and goes with its last user', { skip: needsRoot }, () => {
  using folder = scratch('loop')
  fs.writeFileSync(folder.at('file'), Buffer.alloc(8192, 'onefold!'))
  const file = fs.openSync(folder.at('file'), 'r')
  const { path, fd } = attachLoop(file)
  fs.closeSync(file)
  const name = path.slice('/dev/'.length)
  assert.deepEqual(fs.readFileSync(fd), Buffer.alloc(8192, 'onefold!'))
  assert.equal(fs.readFileSync(`/sys/block/${name}/ro`, 'utf8'), '1\n')
  assert.equal(fs.readFileSync(`/sys/block/${name}/queue/logical_block_size`, 'utf8'), '4096\n')
  assert.equal(fs.readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8'), `${folder.at('file')}\n`)
  fs.closeSync(fd)
  assert.equal(fs.existsSync(`/sys/block/${name}/loop/backing_file`), false)
})

test('fs-verity is turned on and measured, or said to be missing', () => {
  using folder = scratch('verity')
  fs.writeFileSync(folder.at('file'), 'x')
  const fd = fs.openSync(folder.at('file'), 'r')
  assert.equal(measureVerity(fd), undefined)
  if (enableVerity(fd)) {
    assert.match(measureVerity(fd) ?? '', /^[0-9a-f]{64}$/)
    assert.throws(() => fs.openSync(folder.at('file'), 'r+'), { code: 'EPERM' })
  } else assert.equal(measureVerity(fd), undefined)
  fs.closeSync(fd)
})

function attachTmpfs(target: string): void {
  using context = new FsContext('tmpfs')
  context.setString('source', 'onefold:test')
  context.create()
  const mount = context.mount(0)
  attachMount(mount, target)
  fs.closeSync(mount)
}

function mountedOn(target: string): [string, string] | undefined {
  const mount = readMounts().find((each) => each.target === target)
  return mount && [mount.type, mount.source]
}
