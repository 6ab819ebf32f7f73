import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { smallZtoc } from '../../../test/fixtures/small-ztoc.ts'
import { digestOf } from '../../digest.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { defaultTocLimits } from '../toc-json/toc-json.ts'
import { readSociLayer } from './read-soci.ts'
import { type Ztoc, writeZtoc } from './ztoc.ts'

describe('readSociLayer', () => {
  const layer: Descriptor = { mediaType: 'x', digest: digestOf('layer'), size: 1000 }
  const read = (change: Partial<Ztoc>) =>
    readSociLayer(writeZtoc({ ...smallZtoc(), ...change }), layer, { bound: true }, defaultTocLimits)

  test('cuts files at spans', () => {
    const toc = read({})
    assert.deepEqual(
      toc.units.map(({ start, end }) => [start, end]),
      [
        [10, 400],
        [399, 1000],
      ],
    )
    assert.deepEqual(
      toc.files.map(({ entry, extents }) => [
        entry.path,
        extents.map(({ offset, length, unit, skip }) => [offset, length, unit, skip]),
      ]),
      [
        ['dir', []],
        [
          'dir/file',
          [
            [0, 3976, 0, 1024],
            [3976, 2024, 1, 0],
          ],
        ],
      ],
    )
  })

  for (const [what, change, code] of [
    ['a table of another layer', { blobSize: 999 }, 'BAD_FORMAT'],
    ['a span without a digest', { spanDigests: [digestOf('a')] }, 'BAD_FORMAT'],
    ['a digest that is none', { spanDigests: [digestOf('a'), 'sha256:x'] }, 'BAD_FORMAT'],
    ['a file that ends behind the tar', { tarSize: 7000 }, 'BAD_FORMAT'],
    ['files that overlap', { files: smallZtoc().files.map((each) => ({ ...each, offset: 512 })) }, 'BAD_FORMAT'],
    ['a name twice', { files: smallZtoc().files.map((each) => ({ ...each, name: 'same' })) }, 'UNSUPPORTED'],
    ['a name that leads out', { files: smallZtoc().files.map((each) => ({ ...each, name: '../x' })) }, 'BAD_FORMAT'],
    ['a type that is unknown', { files: smallZtoc().files.map((each) => ({ ...each, type: 'door' })) }, 'BAD_FORMAT'],
    [
      'a sparse file',
      { files: smallZtoc().files.map((each) => ({ ...each, records: new Map([['GNU.sparse.map', '0,1']]) })) },
      'UNSUPPORTED',
    ],
  ] as const)
    test(`refuses ${what}`, () => {
      assert.throws(() => read(change), { code })
    })
})
