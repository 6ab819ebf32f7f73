import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import {
  LayoutBuilder,
  type TestEntry,
  directory,
  file,
  hardlink,
  opaque,
  special,
  symlink,
  whiteout,
} from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { noise } from '../../../test/servers/registry.ts'
import { openStore } from '../../store/store.ts'
import { obtain } from '../../transfer/pull/obtain.ts'
import { exportImage } from '../../transfer/send/export-image.ts'

/** Whiteouts are gone from the tree, which is what an export writes. */
const layers: readonly (readonly TestEntry[])[] = [
  [
    directory('etc', { mode: 0o1750, uid: 70_000, gid: 7, mtime: 1_700_000_000 }),
    file('etc/kept', noise(3000), { xattrs: new Map([['user.a', Buffer.from('1')]]) }),
    file('etc/gone', 'x'),
    directory('hidden'),
    file('hidden/old', 'x'),
    special('null', 'char', { major: 1, minor: 3 }),
    special('pipe', 'fifo'),
  ],
  [
    whiteout('etc/gone'),
    opaque('hidden'),
    hardlink('same', 'etc/kept'),
    symlink('link', 'etc/kept'),
    file('empty', ''),
  ],
]

describe('an export to one file', () => {
  const place = scratch('erofs-tar')
  const layout = new LayoutBuilder(place.at('layout'))
  before(() => {
    layout.tag(layout.image({ layers }).manifest, 'x')
  })
  after(() => place[Symbol.dispose]())

  test('is the tree that was exported, and the same bytes again', async () => {
    await using store = await openStore(place.at('store'))
    const name = `oci:${layout.folder}:x`
    const { record } = await obtain(store, name)
    const destination = `erofs-tar:${place.at('app.erofs')}`
    const result = await exportImage(store, name, destination)
    assert.deepEqual(result, { destination, top: undefined, images: [] })

    await using other = await openStore(place.at('other'))
    const back = await obtain(other, destination)
    assert.equal(back.record.images.default, record.images.default)
    await exportImage(other, destination, `erofs-tar:${place.at('again.erofs')}`)
    assert.deepEqual(readFileSync(place.at('again.erofs')), readFileSync(place.at('app.erofs')))
  })

  test('is of one image, which has no manifest', async () => {
    await using store = await openStore(place.at('refusing'))
    const name = `oci:${layout.folder}:x`
    await obtain(store, name)
    const destination = `erofs-tar:${place.at('refused.erofs')}`
    await assert.rejects(exportImage(store, name, destination, { allPlatforms: true }), { code: 'USAGE' })
    await assert.rejects(exportImage(store, name, destination, { preserveDigests: true }), { code: 'UNSUPPORTED' })
    await assert.rejects(exportImage(store, name, 'erofs-tar:'), { code: 'BAD_NAME' })
  })

  test('of a name that deletes another is refused, and leaves nothing', async () => {
    await using store = await openStore(place.at('deleting'))
    const tree = place.at('tree')
    mkdirSync(tree)
    writeFileSync(`${tree}/.wh.gone`, 'x')
    const name = `rootfs:${tree}`
    await obtain(store, name)
    mkdirSync(place.at('out'))
    await assert.rejects(exportImage(store, name, `erofs-tar:${place.at('out/x.erofs')}`), {
      code: 'UNSUPPORTED',
      message: /"\.wh\.gone"/,
    })
    assert.deepEqual(readdirSync(place.at('out')), [])
  })
})
