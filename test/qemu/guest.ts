/**
 * Runs in the guest, as root, with a file system on /store that has fs-verity: does with onefold what a user does, and
 * what an attacker does to the files below. Reports each step in a line; only Node and the compiled package are there.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import {
  type MountOptions,
  type PullOptions,
  type VerityDigest,
  mount,
  openSource,
  openStore,
  parseImageDigest,
  pull,
  readTree,
  unmount,
} from '../../src/index.ts'

const root = '/store/images'
const layout = '/more/layout'
const store = await openStore(root)

/** As its users run it. Emulated, a start takes seconds, so most of what follows calls the library in this process. */
function onefold(args: readonly string[], who: { readonly uid?: number; readonly gid?: number } = {}): string {
  const command = ['/onefold/bin/onefold', '--quiet', ...args]
  const { status, stdout, stderr } = spawnSync('/bin/sh', command, { encoding: 'utf8', ...who })
  if (status !== 0) throw new Error(`${status}: ${stderr}`)
  return stdout
}

async function pullFrom(tag: string, options: PullOptions = {}): Promise<void> {
  await using source = await openSource(`oci:${layout}:${tag}`)
  await pull(store, source, { name: tag, ...options })
}

/** What `work` gives with the image mounted. */
async function mounted<T>(work: (root: string) => T, image: string, options: MountOptions = {}): Promise<T> {
  const { id, target } = await mount(store, image, options)
  try {
    return work(target)
  } finally {
    unmount(store, id)
  }
}

interface FileInfo {
  readonly path: string
  readonly object: VerityDigest
}

/** Files of the image that are objects. */
async function filesOf(image: string): Promise<FileInfo[]> {
  const { children } = await readTree(store, image)
  return Array.from(children).flatMap(([path, child]) =>
    'content' in child && child.content.kind === 'object' ? [{ path, object: child.content.digest }] : [],
  )
}

function imageOf(image: string): VerityDigest {
  const { imageDigest } = store.find(image)
  assert.ok(imageDigest !== undefined)
  return imageDigest
}

function objectPath(object: string): string {
  return `${root}/objects/${object.slice(0, 2)}/${object.slice(2)}`
}

function isSealed(path: string): boolean {
  fs.chmodSync(path, 0o644)
  try {
    fs.closeSync(fs.openSync(path, 'r+'))
    return false
  } catch (error) {
    // Root may write to everything else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  } finally {
    fs.chmodSync(path, 0o444)
  }
}

function sums(folder: string, files: readonly FileInfo[]): Record<string, string> {
  const sum = (path: string): string =>
    createHash('sha256')
      .update(fs.readFileSync(join(folder, path)))
      .digest('hex')
  return Object.fromEntries(files.map(({ path }) => [path, sum(path)]))
}

async function fileOf(image: string, name: string): Promise<FileInfo> {
  const found = (await filesOf(image)).find(({ path }) => path === name)
  assert.ok(found !== undefined, `${image} has no ${name}`)
  return found
}

/** The same bytes, in a file that is not sealed. */
function unseal(path: string): void {
  const bytes = fs.readFileSync(path)
  fs.rmSync(path)
  fs.writeFileSync(path, bytes, { mode: 0o444 })
}

/** Forgets what was read: from here on it comes from the disk. */
function remount(meanwhile: () => void = () => {}): void {
  run('umount', '/store')
  meanwhile()
  run('mount', '-t', 'ext4', '/dev/vdb', '/store')
}

function run(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stderr}`)
}

/** Changes a byte of a file where it lies on the disk, below the file system. */
function tamper(marker: string): void {
  const disk = fs.openSync('/dev/vdb', 'r+')
  const bytes = Buffer.alloc(64 * 1024 * 1024)
  fs.readSync(disk, bytes, 0, bytes.length, 0)
  const at = bytes.indexOf(marker)
  assert.ok(at > 0 && bytes.indexOf(marker, at + 1) === -1, 'the marker is on the disk once')
  fs.writeSync(disk, 'X', at)
  fs.fsyncSync(disk)
  fs.closeSync(disk)
}

async function damage(): Promise<object[]> {
  const report = await store.fsck({ dryRun: true })
  return report.damage.map(({ kind, name, state, images }) => ({ kind, name, state, images }))
}

const insisting = /verity=require/
const mounts = (): string => fs.readFileSync('/proc/self/mountinfo', 'utf8')
const expected = JSON.parse(fs.readFileSync('/more/expected.json', 'utf8')) as Record<string, string>

const steps: Record<string, () => void | Promise<void>> = {
  'pull seals every object and image by itself': async () => {
    onefold(['--store', root, 'pull', `oci:${layout}:one`, '--name', 'one'])
    const files = await filesOf('one')
    assert.equal(files.length, Object.keys(expected).length)
    for (const { object } of files) assert.ok(isSealed(objectPath(object)))
    assert.ok(isSealed(store.imagePath(imageOf('one'))))
  },
  'mount --verity reads every file, and the kernel was told to insist': async () => {
    const target = '/store/target'
    onefold(['--store', root, 'mount', '--verity', '--digest', `sha256:${imageOf('one')}`, 'one', target])
    assert.match(mounts(), insisting)
    assert.deepEqual(sums(target, await filesOf('one')), expected)
    unmount(store, target)
  },
  'mount --digest takes no other image than it names': async () => {
    const digest = parseImageDigest('1'.padStart(64, '0')).hex as VerityDigest
    await assert.rejects(mount(store, 'one', { digest }), { code: 'DIGEST_MISMATCH' })
  },
  'with --verity off nothing more is sealed, and mount --verity refuses that': async () => {
    await store.setVerity('off')
    await pullFrom('two')
    assert.ok(!isSealed(objectPath((await fileOf('two', 'second')).object)))
    await assert.rejects(mount(store, 'two', { verity: true }), { code: 'UNSUPPORTED' })
    await mounted((folder) => fs.readFileSync(join(folder, 'second')), 'two')
    assert.doesNotMatch(mounts(), insisting)
  },
  'an object that is not sealed cannot be read from a mount that insists': async () => {
    await store.setVerity('auto')
    const { path, object } = await fileOf('two', 'second')
    unseal(objectPath(object))
    const read = (folder: string): void => assert.throws(() => fs.readFileSync(join(folder, path)), { code: 'EIO' })
    await mounted(read, 'two', { verity: true })
  },
  'store --require-verity seals what is there; from then on mounts insist unasked': async () => {
    onefold(['--store', root, 'store', '--require-verity'])
    assert.equal(store.verity, 'require')
    const files = await filesOf('two')
    for (const { object } of files) assert.ok(isSealed(objectPath(object)))
    await mounted((folder) => {
      assert.match(mounts(), insisting)
      sums(folder, files)
    }, 'two')
    assert.deepEqual(await damage(), [])
  },
  'fsck finds what is not sealed': async () => {
    const { object } = await fileOf('two', 'second')
    unseal(objectPath(object))
    assert.deepEqual(await damage(), [{ kind: 'object', name: object, state: 'exposed', images: ['two'] }])
    onefoldRepairs()
    assert.ok(isSealed(objectPath(object)))
  },
  'the file of another image is refused by what the kernel measures': async () => {
    const [right, wrong] = [store.imagePath(imageOf('one')), store.imagePath(imageOf('two'))]
    fs.renameSync(right, '/store/kept')
    fs.linkSync(wrong, right)
    await assert.rejects(mount(store, 'one'), { code: 'DIGEST_MISMATCH', message: /its bytes hash to/ })
    fs.renameSync('/store/kept', right)
  },
  'a byte changed on the disk is an error for whoever reads it, and damage for fsck': async () => {
    const { path, object } = await fileOf('one', 'precious')
    remount(() => tamper('the one and only precious thing'))
    const other = await fileOf('one', 'large')
    await mounted((folder) => {
      assert.throws(() => fs.readFileSync(join(folder, path)), { code: 'EIO' })
      assert.deepEqual(sums(folder, [other]), { large: expected['large'] })
    }, 'one')
    assert.deepEqual(await damage(), [{ kind: 'object', name: object, state: 'broken', images: ['one', 'two'] }])
  },
  'an image is made whole again by pulling it, and is sealed again': async () => {
    const { path, object } = await fileOf('one', 'precious')
    await store.fsck()
    await pullFrom('one', { expectImage: parseImageDigest(imageOf('one')) })
    assert.ok(isSealed(objectPath(object)))
    await mounted((folder) => fs.readFileSync(join(folder, path)), 'one')
    assert.deepEqual(await damage(), [])
  },
  'gc removes sealed files as others': async () => {
    const { object } = await fileOf('two', 'second')
    await store.remove('two')
    await store.gc()
    assert.ok(!fs.existsSync(objectPath(object)))
    assert.deepEqual(await damage(), [])
  },
  'a file system without fs-verity is refused by a store that requires it': async () => {
    await using elsewhere = await openStore('/tmp/elsewhere')
    await using source = await openSource(`oci:${layout}:one`)
    await pull(elsewhere, source)
    await assert.rejects(elsewhere.setVerity('require'), { code: 'UNSUPPORTED', message: /tmpfs has no fs-verity/ })
    assert.equal(elsewhere.verity, 'auto')
  },
  'who is not root seals a store of his own': () => {
    fs.mkdirSync('/store/mine')
    fs.chownSync('/store/mine', 1000, 1000)
    onefold(['--store', '/store/mine/images', 'pull', `oci:${layout}:one`], { uid: 1000, gid: 1000 })
    const objects = fs.globSync('/store/mine/images/objects/*/*')
    assert.equal(objects.length, Object.keys(expected).length)
    for (const path of objects) {
      assert.equal(fs.statSync(path).mode & 0o777, 0o444)
      assert.ok(isSealed(path))
    }
  },
}

/** Exit code 5: there was damage, and all of it is mended. */
function onefoldRepairs(): void {
  assert.throws(() => onefold(['--store', root, 'fsck', '--repair']), /^Error: 5:/)
}

for (const [name, step] of Object.entries(steps)) {
  const began = Date.now()
  let error: string | null = null
  try {
    await step()
  } catch (thrown) {
    error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  }
  console.log(`@ ${JSON.stringify({ name, error, seconds: (Date.now() - began) / 1000 })}`)
}
console.log(`@ ${JSON.stringify({ end: Object.keys(steps).length })}`)
