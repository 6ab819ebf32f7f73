import assert from 'node:assert/strict'
import { closeSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyLayer } from '../../../test/fixtures/any-layer.ts'
import { tarOf } from '../../../test/fixtures/images.ts'
import { type LayerMeaning, type Read, meaningOf, meaningOfTar } from '../../../test/fixtures/index-layers.ts'
import { needsRoot } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { collect } from '../../../test/fixtures/table-layers.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { mountFlags } from '../../linux/abi.ts'
import { FsContext, attachMount, knowsFileSystem, unmount } from '../../linux/mount-calls.ts'
import { type WalkedEntry, walkEntries } from '../../scan/walk-entries.ts'
import { newEntry } from '../entry.ts'
import { erofsTarFile } from './erofs-tar-file.ts'

const needsErofs = needsRoot || (knowsFileSystem('erofs') ? false : 'needs a kernel with EROFS')

test('the kernel mounts a file and shows the layer', { skip: needsErofs }, async () => {
  const layers = fc.sample(anyLayer({ explicit: true, mountable: true }), { numRuns: 25, seed: 7 })
  for (const layer of layers) await check(tarOf(layer))
})

test('the kernel shows the one tree', { skip: needsErofs || withoutVectors('one-tree') }, async () => {
  for (const name of ['layer1.tar', 'layer2.tar'])
    await check(readFileSync(vectors(`one-tree/${name}`) ?? assert.fail(`${name} is gone`)))
})

async function check(tar: Buffer): Promise<void> {
  const { blob } = await collect(erofsTarFile.write?.(() => [tar]) ?? assert.fail('it cannot be written'))
  const wanted = meaningOfTar(tar)
  assert.deepEqual(meaningOfMount(blob, wanted.has('')), wanted)
}

/** @param hasRoot whether the root says anything that a layer had to say */
function meaningOfMount(file: Uint8Array, hasRoot: boolean): LayerMeaning {
  using folder = scratch('erofs-tar')
  writeFileSync(folder.at('file'), file)
  mkdirSync(folder.at('mount'))
  mountFile(folder.at('file'), folder.at('mount'))
  try {
    const names = walkEntries(folder.at('mount'), { omit: new Set(), onWarning: assert.fail })
    const read = Array.from(names, (found) => ({ entry: found.entry, content: bytesOf(found) }))
    return meaningOf(read.flatMap(withoutMarks).filter(({ entry }) => hasRoot || entry.path !== ''))
  } finally {
    unmount(folder.at('mount'))
  }
}

function bytesOf(found: WalkedEntry): Buffer {
  return Buffer.concat(Array.from(found.content(), (chunk) => Uint8Array.from(chunk)))
}

function mountFile(file: string, target: string): void {
  using context = new FsContext('erofs')
  context.setString('source', file)
  context.setFlag('ro')
  context.create()
  const mount = context.mount(mountFlags.MOUNT_ATTR_RDONLY)
  try {
    attachMount(mount, target)
  } finally {
    closeSync(mount)
  }
}

/** What overlayfs is told about directories, as layers say it. */
function withoutMarks({ entry, content }: Read): Read[] {
  const { origin, opaque } = { origin: 'trusted.overlay.origin', opaque: 'trusted.overlay.opaque' }
  const xattrs = new Map([...entry.xattrs].filter(([name]) => name !== origin && name !== opaque))
  const marker = `${entry.path === '' ? '' : `${entry.path}/`}.wh..wh..opq`
  const read = { entry: { ...entry, xattrs }, content }
  return entry.xattrs.has(opaque) ? [read, { entry: newEntry({ path: marker, type: 'file' }), content }] : [read]
}
