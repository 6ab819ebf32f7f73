import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { hasCode } from '../error.ts'
import { S_IFDIR, S_IFREG } from '../formats/tree.ts'
import { lchown } from '../linux/file.ts'
import { unmount } from '../linux/mount-calls.ts'
import { readMounts } from '../linux/mountinfo.ts'
import { evict, residency } from '../../test/fixtures/pagecache.ts'
import { getXattr, listXattrs, setXattr } from '../linux/xattr.ts'
import { type ImageStore, device, directory, file, imageStore, symlink } from '../../test/fixtures/mount-store.ts'
import { needsPrograms, needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { executePlan } from './execute-plan.ts'
import { openImage } from './open-image.ts'
import { mountImage } from './mount-image.ts'
import { planMount } from './mount-plan.ts'
import { mountPath } from '../store/mount-record.ts'
import { listMounts } from './mount-status.ts'
import { sweepMounts, unmountImage } from './unmount.ts'

const big = 'a body of more than sixty-four bytes, so that it becomes an object. '.repeat(3)
/** What the mount table shows below the folder; other tests mount things, too. */
const tables = (folder: string): string[] =>
  readMounts()
    .filter((mount) => mount.target.startsWith(folder))
    .map((mount) => `${mount.type} ${mount.source} ${mount.target}`)

function sample(store: ImageStore) {
  return directory(
    {
      etc: directory({
        name: file(store.content('inline\n')),
        big: file(store.content(big), { mode: S_IFREG | 0o4711, uid: 7 }),
      }),
      link: symlink('/etc/name'),
      disk: device(0x801),
    },
    {
      mode: S_IFDIR | 0o751,
      uid: 12,
      gid: 34,
      mtime: -3,
      mtimeNsec: 5,
      xattrs: new Map([['user.root', Buffer.from('x')]]),
    },
  )
}

describe('mounts of a store', { skip: needsRoot }, () => {
  test('read-only: the tree is there, nothing can be written, and unmounting leaves nothing behind', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const before = { tables: tables(folder.path), files: tree(folder.path) }
    const target = folder.at('made')
    const mount = mountImage(store, image, { target, name: 'sample' })
    assert.equal(fs.readFileSync(`${target}/etc/big`, 'utf8'), big)
    assert.equal(fs.readFileSync(`${target}/etc/name`, 'utf8'), 'inline\n')
    assert.deepEqual(fs.readdirSync(target).sort(), ['disk', 'etc', 'link'])
    const { mode, uid } = fs.statSync(`${target}/etc/big`)
    assert.deepEqual([mode, uid], [0o104711, 7])
    assert.equal(fs.lstatSync(`${target}/disk`).rdev, 0x801)
    assert.throws(() => fs.openSync(`${target}/disk`, 'r'), { code: 'EACCES' })
    assert.throws(() => fs.writeFileSync(`${target}/new`, ''), { code: 'EROFS' })
    const added = tables(folder.path).filter((line) => !before.tables.includes(line))
    assert.deepEqual(added, [`overlay onefold:${mount.id} ${target}`])
    assert.deepEqual(listMounts(store), [
      { id: mount.id, image, name: 'sample', state: 'mounted', rw: false, targets: [target], upper: undefined },
    ])
    assert.deepEqual(unmountImage(store, target), { id: mount.id, kept: undefined })
    fs.rmdirSync(`${store.root}/mounts`)
    assert.deepEqual({ tables: tables(folder.path), files: tree(folder.path) }, before)
  })

  test('an existing target stays; the default one is in the store; both at once share one image', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    fs.mkdirSync(folder.at('there'))
    const here = mountImage(store, image, { target: folder.at('there') })
    const own = mountImage(store, image)
    assert.equal(own.target, `${mountPath(store.root, own.id)}/root`)
    assert.equal(fs.readFileSync(`${own.target}/etc/big`, 'utf8'), big)
    unmountImage(store, own.id)
    assert.equal(fs.readFileSync(`${here.target}/etc/big`, 'utf8'), big)
    unmountImage(store, here.id)
    assert.deepEqual(fs.readdirSync(folder.path).sort(), ['store', 'there'])
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts`), [])
  })

  test("the root of a writable mount is the image's own, and a mount nobody changed leaves nothing to keep", () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const { id, target } = mountImage(store, image, { rw: true })
    const root = fs.statSync(target, { bigint: true })
    assert.deepEqual([root.mode, root.uid, root.gid, root.mtimeNs], [0o40751n, 12n, 34n, -2_999_999_995n])
    assert.deepEqual(listXattrs(target), ['user.root'])
    fs.readFileSync(`${target}/etc/big`)
    assert.deepEqual(unmountImage(store, id), { id, kept: undefined })
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts`), [])
  })

  test('changes are kept without --discard, mounted again by id, on their own image only', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const other = store.add(directory({}))
    const { id, target } = mountImage(store, image, { rw: true, name: 'sample' })
    fs.writeFileSync(`${target}/new`, 'new')
    fs.rmSync(`${target}/link`)
    fs.chmodSync(`${target}/etc/big`, 0o600)
    fs.renameSync(`${target}/etc`, `${target}/moved`)
    const { kept } = unmountImage(store, target)
    assert.equal(kept, `${mountPath(store.root, id)}/upper`)
    assert.deepEqual(fs.readdirSync(mountPath(store.root, id)).sort(), ['mount.json', 'upper'])
    assert.deepEqual(
      listMounts(store).map((mount) => [mount.state, mount.upper]),
      [['kept', kept]],
    )

    // Kept changes go by their id alone: the directory they were seen on may be anything by now.
    assert.throws(
      () => unmountImage(store, target, { discard: true }),
      (error) => hasCode(error, 'NOT_FOUND'),
    )
    assert.throws(
      () => mountImage(store, other, { upper: id }),
      (error) => hasCode(error, 'USAGE'),
    )
    assert.throws(
      () => mountImage(store, image, { upper: 'ffffffffffff' }),
      (error) => hasCode(error, 'NOT_FOUND'),
    )
    const again = mountImage(store, image, { upper: id, target: folder.at('elsewhere') })
    assert.deepEqual([again.id, again.name], [id, 'sample'])
    assert.throws(
      () => mountImage(store, image, { upper: id }),
      (error) => hasCode(error, 'BUSY'),
    )
    assert.deepEqual(fs.readdirSync(again.target).sort(), ['disk', 'moved', 'new'])
    assert.equal(fs.readFileSync(`${again.target}/moved/big`, 'utf8'), big)
    assert.equal(fs.statSync(`${again.target}/moved/big`).mode, 0o100600)
    assert.deepEqual(unmountImage(store, id, { discard: true }), { id, kept: undefined })
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts`), [])
    assert.equal(fs.existsSync(folder.at('elsewhere')), false)
  })

  test('a change to the root directory alone is a change', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    for (const change of [
      (target: string) => fs.chmodSync(target, 0o700),
      (target: string) => lchown(target, 1, 1),
      (target: string) => setXattr(target, 'user.root', Buffer.from('y')),
    ]) {
      const { id, target } = mountImage(store, image, { rw: true })
      change(target)
      assert.notEqual(unmountImage(store, id).kept, undefined)
      unmountImage(store, id, { discard: true })
    }
  })

  test("changes in a folder of the user's stay there, and two mounts never share them", () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const upper = folder.at('odd \\ :, name')
    const { id, target } = mountImage(store, image, { upper })
    assert.throws(
      () => mountImage(store, image, { upper }),
      (error) => hasCode(error, 'BUSY'),
    )
    fs.writeFileSync(`${target}/new`, 'new')
    assert.deepEqual(unmountImage(store, id).kept, `${upper}/upper`)
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts`), [])
    assert.deepEqual(fs.readdirSync(upper), ['upper'])
    const again = mountImage(store, image, { upper })
    assert.equal(fs.readFileSync(`${again.target}/new`, 'utf8'), 'new')
    unmountImage(store, again.id, { discard: true })
    assert.deepEqual(fs.readdirSync(upper), [])
  })

  test('two images that hold one file share its page cache', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const content = store.content(Buffer.alloc(1 << 20, 'shared by both. '))
    const digest = content.kind === 'object' ? content.digest : ''
    const object = fs.openSync(`${store.objectsPath}/${digest.slice(0, 2)}/${digest.slice(2)}`, 'r')
    const first = mountImage(store, store.add(directory({ one: file(content) })))
    const second = mountImage(store, store.add(directory({ another: file(content, { uid: 5 }) })))
    const other = fs.openSync(`${second.target}/another`, 'r')
    evict(object)
    assert.deepEqual(residency(other), { resident: 0, pages: 256 })
    fs.readFileSync(`${first.target}/one`)
    assert.deepEqual(residency(other), { resident: 256, pages: 256 })
    for (const fd of [object, other]) fs.closeSync(fd)
    for (const { id } of [first, second]) unmountImage(store, id)
  })

  for (const means of [
    { image: 'loop', layers: 'descriptors' },
    { image: 'file', layers: 'paths' },
    { image: 'loop', layers: 'string' },
  ] as const) {
    test(`older kernels: image as ${means.image}, layers as ${means.layers}`, () => {
      using folder = scratch('mount')
      const store = imageStore(folder.at('st:o\\re'))
      const image = store.add(sample(store))
      for (const name of ['scratch', 'target', 'upper', 'work']) fs.mkdirSync(folder.at(name))
      const before = { tables: tables(folder.path), loops: loops(folder.path) }
      {
        using opened = openImage(store.imagePath(image), image, { verify: false, verity: false })
        executePlan(
          planMount(
            {
              id: 'ffffffffffff',
              image: opened.fd,
              hasAcl: opened.hasAcl,
              objects: [store.objectsPath],
              target: folder.at('target'),
              changes: { upper: folder.at('upper'), work: folder.at('work'), fresh: true },
              scratch: folder.at('scratch'),
            },
            means,
          ),
        )
      }
      assert.deepEqual(
        tables(folder.path).filter((line) => !before.tables.includes(line)),
        [`overlay onefold:ffffffffffff ${folder.at('target')}`],
      )
      assert.equal(fs.readFileSync(folder.at('target', 'etc', 'big'), 'utf8'), big)
      fs.writeFileSync(folder.at('target', 'new'), '')
      unmount(folder.at('target'))
      assert.deepEqual({ tables: tables(folder.path), loops: loops(folder.path) }, before)
    })
  }

  test('a store on tmpfs gets a loop device by itself, and gives it back', () => {
    using folder = scratch('mount')
    fs.mkdirSync(folder.at('tmpfs'))
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder.at('tmpfs')])
    try {
      const store = imageStore(folder.at('tmpfs', 'store'))
      const image = store.add(sample(store))
      const { id, target } = mountImage(store, image)
      assert.equal(loops(folder.path).length, 1)
      assert.equal(fs.readFileSync(`${target}/etc/big`, 'utf8'), big)
      unmountImage(store, id)
      assert.deepEqual(loops(folder.path), [])
    } finally {
      execFileSync('umount', [folder.at('tmpfs')])
    }
  })

  test("xattrs that look like overlayfs' own never steer the mount", () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const secret = store.content('the content of a file that another image owns and this one must not read '.repeat(2))
    assert.equal(secret.kind, 'object')
    const path = secret.kind === 'object' ? `/${secret.digest.slice(0, 2)}/${secret.digest.slice(2)}` : ''
    const attack = new Map<string, Uint8Array>([
      ['trusted.overlay.redirect', Buffer.from(path)],
      ['trusted.overlay.metacopy', Buffer.alloc(0)],
      ['trusted.overlay.overlay.redirect', Buffer.from(path)],
      ['user.overlay.redirect', Buffer.from(path)],
      ['user.overlay.metacopy', Buffer.alloc(0)],
      ['trusted.overlay.opaque', Buffer.from('y')],
      ['user.overlay.opaque', Buffer.from('y')],
      ['trusted.overlay.whiteout', Buffer.alloc(0)],
      ['user.overlay.whiteout', Buffer.alloc(0)],
    ])
    const image = store.add(
      directory(
        {
          inline: file(store.content('harmless'), { xattrs: attack }),
          empty: file(store.content(''), { xattrs: attack }),
          object: file(store.content(big), { xattrs: attack }),
          dir: directory({ inside: file(store.content('inside')) }, { xattrs: attack }),
        },
        { xattrs: attack },
      ),
    )
    for (const rw of [false, true]) {
      const { id, target } = mountImage(store, image, { rw })
      assert.deepEqual(fs.readdirSync(target).sort(), ['dir', 'empty', 'inline', 'object'])
      assert.equal(fs.readFileSync(`${target}/inline`, 'utf8'), 'harmless')
      assert.equal(fs.readFileSync(`${target}/empty`, 'utf8'), '')
      assert.equal(fs.readFileSync(`${target}/object`, 'utf8'), big)
      assert.equal(fs.readFileSync(`${target}/dir/inside`, 'utf8'), 'inside')
      for (const name of ['inline', 'empty', 'object', 'dir', '']) {
        assert.deepEqual(listXattrs(`${target}/${name}`).sort(), Array.from(attack.keys()).sort(), name)
        assert.deepEqual(getXattr(`${target}/${name}`, 'trusted.overlay.redirect'), Uint8Array.from(Buffer.from(path)))
      }
      unmountImage(store, id)
    }
  })

  test('busy: an open file, a mount on top; --lazy takes it away all the same', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const { id, target } = mountImage(store, image, { rw: true })
    const fd = fs.openSync(`${target}/etc/big`, 'a')
    assert.throws(
      () => unmountImage(store, id),
      (error) => hasCode(error, 'BUSY') && /fuser -vm/.test(error.hint ?? ''),
    )
    assert.throws(
      () => unmountImage(store, id, { lazy: true, discard: true }),
      (error) => hasCode(error, 'USAGE'),
    )
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', `${target}/etc`])
    assert.throws(
      () => unmountImage(store, id),
      (error) => hasCode(error, 'BUSY') && /tmpfs is mounted on/.test(error.message),
    )
    unmountImage(store, id, { lazy: true })
    assert.deepEqual(
      listMounts(store).map((mount) => mount.state),
      ['elsewhere'],
    )
    assert.throws(
      () => mountImage(store, image, { upper: id }),
      (error) => hasCode(error, 'BUSY'),
    )
    fs.writeSync(fd, 'still written')
    fs.closeSync(fd)
    const again = mountImage(store, image, { upper: id })
    assert.equal(fs.readFileSync(`${again.target}/etc/big`, 'utf8'), `${big}still written`)
    unmountImage(store, id, { discard: true })
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts`), [])
  })

  test('a mount that vanished is noticed, and swept unless it holds changes', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const readOnly = mountImage(store, image, { target: folder.at('made') })
    const writable = mountImage(store, image, { rw: true })
    fs.writeFileSync(`${writable.target}/new`, '')
    for (const { target } of [readOnly, writable]) execFileSync('umount', [target])
    const states = Object.fromEntries(listMounts(store).map((mount) => [mount.id, mount.state]))
    assert.deepEqual(states, { [readOnly.id]: 'gone', [writable.id]: 'kept' })
    // What a power cut leaves of mounts that were just being made; the last one cannot be, but holds something.
    const unfinished = (id: string, record: string | undefined, ...upper: string[]): void => {
      fs.mkdirSync(`${store.root}/mounts/${id}/upper`, { recursive: true })
      if (record !== undefined) fs.writeFileSync(`${store.root}/mounts/${id}/mount.json`, record)
      for (const name of upper) fs.writeFileSync(`${store.root}/mounts/${id}/upper/${name}`, '')
    }
    unfinished('aaaaaaaaaaaa', undefined)
    unfinished('bbbbbbbbbbbb', '')
    unfinished('cccccccccccc', '', 'file')
    assert.equal(listMounts(store).length, 2)
    assert.deepEqual(sweepMounts(store).sort(), ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', readOnly.id].sort())
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts/cccccccccccc`).sort(), ['mount.json', 'upper'])
    fs.rmSync(`${store.root}/mounts/cccccccccccc`, { recursive: true })
    assert.equal(fs.existsSync(folder.at('made')), false)
    assert.deepEqual(unmountImage(store, writable.id, { discard: true }).kept, undefined)
    assert.deepEqual(fs.readdirSync(`${store.root}/mounts`), [])
  })

  test('a mount in another mount namespace is seen by its image', { skip: needsPrograms('unshare') }, async () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const program = `
      import { mountImage } from ${JSON.stringify(new URL('mount-image.ts', import.meta.url).href)}
      const store = ${JSON.stringify({ root: store.root, objectsPath: store.objectsPath })}
      store.imagePath = () => ${JSON.stringify(store.imagePath(image))}
      console.log(mountImage(store, ${JSON.stringify(image)}).id)
      process.stdin.resume()`
    const child = spawn('unshare', ['-m', process.execPath, '--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const id = line.toString().trim()
    assert.deepEqual(
      listMounts(store).map((mount) => [mount.id, mount.state]),
      [[id, 'elsewhere']],
    )
    assert.throws(
      () => unmountImage(store, id),
      (error) => hasCode(error, 'BUSY') && /mnt:\[/.test(error.hint ?? ''),
    )
    assert.deepEqual(sweepMounts(store), [])
    child.stdin.end()
    await once(child, 'exit')
    assert.deepEqual(
      listMounts(store).map((mount) => mount.state),
      ['gone'],
    )
    assert.deepEqual(sweepMounts(store), [id])
  })

  for (const [what, code, damage, options] of [
    ['no image', 'NOT_FOUND', (path: string) => fs.rmSync(path), {}],
    ['an image that is none', 'CORRUPT', (path: string) => fs.writeFileSync(path, 'not an image'), {}],
    ['an empty image', 'CORRUPT', (path: string) => fs.truncateSync(path, 0), {}],
    ['a changed byte, with verify', 'DIGEST_MISMATCH', (path: string) => flip(path, 4095), { verify: true }],
    ['a broken superblock', 'IO', (path: string) => flip(path, 1024), {}],
    ['a target that is a file', 'USAGE', () => undefined, { target: process.execPath }],
    ['a target below nothing', 'NOT_FOUND', () => undefined, { target: '/no/such/folder' }],
    ['a place for changes where none can be made', 'NOT_FOUND', () => undefined, { upper: '/proc/changes' }],
  ] as const) {
    test(`refused, nothing left behind: ${what}`, () => {
      using folder = scratch('mount')
      const store = imageStore(folder.at('store'))
      const image = store.add(sample(store))
      fs.chmodSync(store.imagePath(image), 0o600)
      damage(store.imagePath(image))
      fs.mkdirSync(`${store.root}/mounts`)
      const before = { tables: tables(folder.path), files: tree(folder.path) }
      assert.throws(
        () => mountImage(store, image, { target: folder.at('target'), ...options }),
        (error) => hasCode(error, code),
      )
      assert.deepEqual({ tables: tables(folder.path), files: tree(folder.path) }, before)
    })
  }

  test('refused, nothing left behind: an upper on a file system that cannot be one', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    const image = store.add(sample(store))
    const below = mountImage(store, image, { rw: true })
    const before = { tables: tables(folder.path), files: tree(folder.path) }
    for (const upper of [below.target, `${below.target}/changes`]) {
      assert.throws(
        () => mountImage(store, image, { upper }),
        (error) => hasCode(error, 'IO'),
      )
      assert.deepEqual({ tables: tables(folder.path), files: tree(folder.path) }, before)
    }
    unmountImage(store, below.id, { discard: true })
  })

  test('what is not mounted cannot be unmounted', () => {
    using folder = scratch('mount')
    const store = imageStore(folder.at('store'))
    for (const which of ['aaaaaaaaaaaa', '/', folder.path, 'nonsense']) {
      assert.throws(
        () => unmountImage(store, which),
        (error) => hasCode(error, 'NOT_FOUND'),
      )
    }
  })
})

function flip(path: string, at: number): void {
  const bytes = fs.readFileSync(path)
  bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at)
  fs.writeFileSync(path, bytes)
}

function tree(path: string): string[] {
  return fs.readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
}

/** Loop devices whose file lies below the folder. */
function loops(folder: string): string[] {
  return fs.readdirSync('/sys/block').filter((name) => {
    try {
      return fs.readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(folder)
    } catch {
      return false
    }
  })
}
