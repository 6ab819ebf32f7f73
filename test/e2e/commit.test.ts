import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { commit } from '../../src/library/committing.ts'
import { mount, unmount } from '../../src/library/mounting.ts'
import { readMount, readTree } from '../../src/library/reading.ts'
import { parseConfig } from '../../src/formats/oci/image-config.ts'
import { setMtime } from '../../src/linux/file.ts'
import { setXattr } from '../../src/linux/xattr.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { importImage } from '../../src/transfer/commit/import-tree.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { runOnefold } from '../fixtures/command.ts'
import { fuzzCommit } from '../fuzz/commit.ts'
import { file, tarOf, whiteout } from '../fixtures/images.ts'
import { baseStore, differences, long, quiet } from '../fixtures/mount-changes.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { readTree as readFolder } from '../fixtures/overlayfs.ts'
import { outline } from '../fixtures/random-tree.ts'
import { scratch } from '../fixtures/scratch.ts'

describe('commit', { skip: needsRoot }, () => {
  test('the new image is what the mount showed; its layer says so in terms every engine knows', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    const { id, target: m } = await mount(store, 'base', { rw: true })
    fs.renameSync(`${m}/etc/d`, `${m}/etc/moved`)
    fs.appendFileSync(`${m}/etc/moved/one`, 'more')
    fs.unlinkSync(`${m}/etc/two`)
    fs.mkdirSync(`${m}/etc/two`)
    fs.writeFileSync(`${m}/etc/two/in`, '')
    fs.rmSync(`${m}/usr/gone`, { recursive: true })
    fs.writeFileSync(`${m}/usr/gone`, 'a file now')
    fs.chmodSync(`${m}/usr/lib/big`, 0o4755)
    fs.renameSync(`${m}/usr/lib/big`, `${m}/usr/big`)
    fs.linkSync(`${m}/usr/big`, `${m}/usr/lib/same`)
    fs.rmSync(`${m}/opt/x`, { recursive: true })
    fs.mkdirSync(`${m}/opt/x`)
    setXattr(`${m}/opt`, 'user.overlay.opaque', Buffer.from('y'))
    setXattr(`${m}/opt/3`, 'security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex'))
    const shown = readFolder(m)
    const { before, after } = await readMount(store, m)
    assert.deepEqual(differences(after, shown), [])
    assert.deepEqual(differences(before, await readTree(store, 'base')), [])
    const made = await commit(store, id, 'new', {
      ...quiet,
      message: 'what for',
      author: 'me',
      changes: ['CMD ["/a"]'],
    })
    assert.deepEqual(outline(await readTree(store, 'new')), outline(shown))

    const names = tarNames(store, 'new')
    assert.deepEqual(names, [
      './', 'etc/', 'etc/.wh.d', 'etc/moved/', 'etc/moved/one', 'etc/moved/sub/', 'etc/moved/sub/deep/', 'etc/moved/sub/deep/f',
      'etc/two/', 'etc/two/in', 'opt/', 'opt/3', 'opt/x/', 'opt/x/.wh..wh..opq', 'usr/', 'usr/big', 'usr/gone', 'usr/lib/',
      'usr/lib/.wh.big', 'usr/lib/same',
    ].filter((name) => name !== './')) // prettier-ignore
    const { record } = store.find('new')
    assert.deepEqual([record.layers.length, record.layers[1]?.diffId], [2, made.layer])
    const bytes = Buffer.from(store.blob(record.config.digest))
    assert.deepEqual(parseConfig(bytes, 2).run.cmd, ['/a'])
    assert.deepEqual(JSON.parse(bytes.toString()).history, [
      { created: '1970-01-01T00:00:00Z', created_by: 'onefold import' },
      { created: '1970-01-01T00:00:00Z', created_by: 'onefold commit', author: 'me', comment: 'what for' },
    ])
    // The same changes elsewhere, with other inode numbers and change times.
    execFileSync('cp', ['-a', `${store.root}/mounts/${id}/upper`, place.at('copy')])
    const again = await importImage(store, place.at('copy'), 'again', { ...quiet, base: 'base', upper: 'trusted' })
    assert.equal(again.layer, made.layer)
    unmount(store, id)
    const kept = await commit(store, id, 'kept', {
      ...quiet,
      message: 'what for',
      author: 'me',
      changes: ['CMD ["/a"]'],
    })
    assert.deepEqual([kept.manifest, kept.stats.layersPulled], [made.manifest, 0])
    for (const image of store.refs()) await store.remove(image)
    await store.gc()
    const nameless = await commit(store, id, 'nameless', { ...quiet, message: 'what for', author: 'me', changes: ['CMD ["/a"]'] }) // prettier-ignore
    assert.deepEqual([nameless.manifest, outline(await readTree(store, 'nameless'))], [made.manifest, outline(shown)])
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    unmount(store, id, { discard: true })
  })

  test('nothing changed: the config may be new, a layer is not', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    const { id } = await mount(store, 'base', { rw: true })
    const made = await commit(store, id, 'new', { ...quiet, changes: ['USER 7'] })
    unmount(store, id)
    const { record } = store.find('new')
    assert.deepEqual([made.layer, record.layers.length, made.image], [undefined, 1, store.find('base').imageDigest])
    const config = JSON.parse(Buffer.from(store.blob(record.config.digest)).toString())
    assert.deepEqual([config.config.User, config.history[1].empty_layer], ['7', true])
  })

  test('what cannot be said in a layer is refused by name, and nothing is stored', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    const { id, target } = await mount(store, 'base', { rw: true })
    fs.writeFileSync(`${target}/usr/.wh.data`, '')
    await assert.rejects(commit(store, id, 'new', quiet), { code: 'UNSUPPORTED', message: /usr\/\.wh\.data/ })
    assert.deepEqual(store.refs(), ['base'])
    unmount(store, id, { discard: true })
    const readOnly = await mount(store, 'base')
    await assert.rejects(commit(store, readOnly.id, 'new', quiet), { code: 'USAGE' })
    unmount(store, readOnly.id)
    await assert.rejects(commit(store, readOnly.id, 'new', quiet), { code: 'NOT_FOUND' })
  })

  test('an upper directory that lies above another image is refused', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    const cases: readonly [why: RegExp, make: (upper: string) => void][] = [
      [/nothing is there/, (upper) => marked(`${upper}/absent`, 'metacopy', '')],
      [/there are \d+/, (upper) => marked(`${upper}/etc/two`, 'metacopy', '')],
      [/redirected it to/, (upper) => marked(`${upper}/etc/x`, 'redirect', 'a/b')],
      [/redirected it to/, (upper) => marked(`${upper}/etc/x`, 'redirect', '/etc//d')],
    ]
    for (const [why, make] of cases) {
      fs.mkdirSync(place.at('upper/etc'), { recursive: true })
      make(place.at('upper'))
      const options = { ...quiet, base: 'base', upper: 'trusted' } as const
      await assert.rejects(importImage(store, place.at('upper'), 'new', options), { code: 'BAD_FORMAT', message: why })
      fs.rmSync(place.at('upper'), { recursive: true })
    }
  })

  test('user.overlay.* is data unless it is asked for', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    fs.mkdirSync(place.at('upper/etc/d'), { recursive: true })
    const set = (path: string, name: string, value: string): void =>
      setXattr(place.at('upper', path), `user.overlay.${name}`, Buffer.from(value))
    set('etc/d', 'opaque', 'y')
    set('etc', 'opaque', 'x')
    set('etc', 'overlay.opaque', 'data')
    fs.writeFileSync(place.at('upper/etc/two'), '')
    set('etc/two', 'whiteout', 'y')
    const notes: string[] = []
    const options = { created: 0, onWarning: (note: string) => void notes.push(note), base: 'base' }
    await importImage(store, place.at('upper'), 'data', { ...options, upper: 'trusted' })
    assert.deepEqual(tarNames(store, 'data'), ['./', 'etc/', 'etc/d/', 'etc/two'])
    assert.match(notes.join(), /--userxattr/)
    await importImage(store, place.at('upper'), 'user', { ...options, upper: 'user' })
    assert.deepEqual(tarNames(store, 'user'), ['./', 'etc/', 'etc/d/', 'etc/d/.wh..wh..opq', 'etc/.wh.two'])
    const etc = (await readTree(store, 'user')).children.get('etc')
    assert.ok(etc !== undefined && 'xattrs' in etc)
    assert.deepEqual([...etc.xattrs].map(String), ['user.overlay.opaque,data'])
  })

  test('above a plain tree its names stay data; a tar deletes as any layer does', async () => {
    using place = scratch('commit')
    await using store = await openStore(place.at('store'))
    fs.mkdirSync(place.at('plain'))
    for (const name of ['.wh.data', 'a', 'b']) fs.writeFileSync(place.at('plain', name), name)
    await using source = await openSource(`rootfs:${place.at('plain')}`)
    await pull(store, source, { name: 'plain' })
    fs.mkdirSync(place.at('more'))
    fs.writeFileSync(place.at('more/a'), 'new')
    await importImage(store, place.at('more'), 'more', { ...quiet, base: 'plain' })
    assert.deepEqual([...(await readTree(store, 'more')).children.keys()].toSorted(), ['.wh.data', 'a', 'b'])
    assert.deepEqual(
      store.find('more').record.layers.map(({ kind }) => kind),
      ['plain', 'layer'],
    )
    await assert.rejects(importImage(store, place.at('plain'), 'no', quiet), {
      code: 'UNSUPPORTED',
      message: /\.wh\.data/,
    })

    fs.writeFileSync(place.at('layer.tar'), tarOf([file('c', 'c'), whiteout('a')]))
    await importImage(store, place.at('layer.tar'), 'tar', { ...quiet, base: 'more' })
    assert.deepEqual([...(await readTree(store, 'tar')).children.keys()].toSorted(), ['.wh.data', 'b', 'c'])
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
  })

  test('a directory that changes while it is read gives no image', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    const { id, target } = await mount(store, 'base', { rw: true })
    fs.writeFileSync(`${target}/log`, long)
    const changes: readonly (() => void)[] = [
      () => fs.appendFileSync(`${target}/log`, 'x'),
      () => fs.writeFileSync(`${target}/other`, ''),
      () => fs.unlinkSync(`${target}/log`),
    ]
    for (const change of changes) {
      const onProgress = (event: { type: string; step?: string }): void => {
        if (event.step === 'pulling') change()
      }
      await assert.rejects(commit(store, id, 'new', { ...quiet, onProgress }), (error: Error) => {
        assert.match(error.message, /changed while|no such file/)
        return true
      })
    }
    assert.deepEqual([store.refs(), fs.readdirSync(`${store.root}/tmp`)], [['base'], []])
    unmount(store, id, { discard: true })
  })

  test('the commands: what a mount has changed, and its image', async () => {
    using place = scratch('commit')
    await using store = await baseStore(place)
    const { id, target } = await mount(store, 'base', { rw: true })
    fs.rmSync(`${target}/opt/x`, { recursive: true })
    fs.renameSync(`${target}/etc/two`, `${target}/etc/2`)
    fs.writeFileSync(`${target}/opt/3`, 'a file of another size')
    for (const path of ['etc', 'opt', 'opt/3']) setMtime(`${target}/${path}`, 1000, 5)
    const run = (...args: string[]): string => {
      const { code, out, err } = runOnefold(['--store', store.root, ...args])
      assert.equal(code, args.includes('base') ? 1 : 0, err)
      return out
    }
    assert.equal(run('diff', target), 'A /etc/2\nD /etc/two\nC /opt/3\nD /opt/x\n')
    const changes = JSON.parse(run('--json', 'diff', id)) as { kind: string }[]
    assert.deepEqual(
      changes.map(({ kind }) => kind),
      ['added', 'removed', 'changed', 'removed'],
    )
    assert.match(
      run('diff', 'base', id),
      /^\+ \/etc\/2\n- \/etc\/two\n~ \/opt\/3 {2}\(size, content\)\n- \/opt\/x\n- \/opt\/x\/y\n/,
    )
    const made = JSON.parse(run('--json', 'commit', id, 'new', '--timestamp', '0')) as Record<string, unknown>
    const { record, imageDigest } = store.find('new')
    assert.deepEqual(
      [made['name'], made['manifest'], made['config'], made['image'], made['layer']],
      ['new', record.manifest.digest, record.config.digest, imageDigest, record.layers[1]?.diffId],
    )
    unmount(store, id, { discard: true })
  })

  test('whatever is done in a mount, the image is what it shows', async () => {
    await fuzzCommit(1, 160)
  })
})

function marked(path: string, name: string, value: string): void {
  if (name === 'redirect') fs.mkdirSync(path)
  else fs.writeFileSync(path, 'x')
  setXattr(path, `trusted.overlay.${name}`, Buffer.from(value))
}

/** Names of the topmost layer, as tar lists them. */
function tarNames(store: Store, image: string): string[] {
  const layer = store.find(image).record.layers.at(-1)
  assert.ok(layer !== undefined)
  const tar = Buffer.concat([...store.rebuildTar(layer.recipe)].map((piece) => Buffer.from(piece)))
  return execFileSync('tar', ['-tf', '-'], { input: tar, encoding: 'utf8' }).trim().split('\n')
}
