import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { indexOf, meaningOfIndex, meaningOfTar, openTarFile, readIndexOf } from '../../../test/fixtures/index-layers.ts'
import { record } from '../../../test/fixtures/tar-bytes.ts'
import { editHeaders, replaceRecord } from '../../../test/fixtures/tar-edits.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import type { IndexStamp } from './index-inode.ts'

function read(path: string): Buffer {
  return readFileSync(vectors(path) ?? assert.fail(`${path} is gone`))
}

/** A tar that mkfs.erofs takes the same things from as we do. */
interface Vector {
  readonly index: string
  readonly tar: () => Buffer
  readonly stamp?: IndexStamp
}

/** What mkfs.erofs was told for the vectors of one tree. */
const stamp: IndexStamp = { uuid: Buffer.from('00000000000000000000000000000001', 'hex'), buildTime: 1_700_000_000 }

/** To mkfs.erofs a record without a value says an empty attribute, to us only one that decodes to nothing does. */
function withEmptyAttribute(tar: Buffer): Buffer {
  const decoding = record('LIBARCHIVE.xattr.user.empty', '=')
  return replaceRecord(tar, record('SCHILY.xattr.user.empty', ''), decoding)
}

const known: readonly Vector[] = [
  {
    index: 'erofs-tar/idx.erofs',
    // It was told one time for all files.
    tar: () => editHeaders(read('erofs-tar/layer.tar'), (header) => void header.write('00000000000', 136)),
  },
  { index: 'one-tree/erofs/layer1-index.erofs', tar: () => withEmptyAttribute(read('one-tree/layer1.tar')), stamp },
  { index: 'one-tree/erofs/layer2-index.erofs', tar: () => read('one-tree/layer2.tar'), stamp },
]

for (const { index, tar, stamp: used } of known)
  describe(index, { skip: withoutVectors(index) }, () => {
    test('is what we write, to the byte', () => {
      const { bytes } = indexOf(tar(), used === undefined ? {} : { stamp: used })
      assert.ok(read(index).equals(bytes))
    })

    test('is read as the tar that it is over', () => {
      const layer = tar()
      const { implied } = indexOf(layer)
      const found = readIndexOf(layer, { bytes: read(index), implied })
      assert.deepEqual(meaningOfIndex(found, layer), meaningOfTar(layer))
    })

    test('in one file with its tar is read as the tar', () => {
      const layer = tar()
      const file = Buffer.concat([read(index), layer])
      assert.deepEqual(meaningOfIndex(openTarFile(file), file), meaningOfTar(layer))
    })
  })

test('an image with its data in itself is no index', { skip: withoutVectors('one-tree') }, () => {
  const tar = read('one-tree/layer1.tar')
  const index = { bytes: read('one-tree/erofs/layer1-full.erofs'), implied: [] }
  assert.throws(() => readIndexOf(tar, index), { code: 'UNSUPPORTED', message: /over 0 devices/ })
})
