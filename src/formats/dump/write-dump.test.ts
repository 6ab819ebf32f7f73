import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { outline, randomTree } from '../../../test/fixtures/random-tree.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { readErofs } from '../composefs/read-image.ts'
import { composeImage } from '../../image/stream-image.ts'
import type { Directory } from '../tree.ts'
import { parseDump } from './read-dump.ts'
import { writeDump } from './write-dump.ts'

const root = '/ 4096 40755 2 0 0 0 0.0 - - -\n'

describe('writeDump', () => {
  test('writes what composefs-info dump writes', { skip: withoutVectors('one-tree/composefs') }, () => {
    const want = readFileSync(vectors('one-tree/composefs/dump') ?? '')
    for (const version of ['v0', 'v1']) {
      const tree = readErofs(readFileSync(vectors(`one-tree/composefs/${version}.cfs`) ?? ''))
      assert.ok(want.equals(dump(tree)), version)
    }
  })

  test('escapes what is no printable ASCII, a lone dash, and equals signs in xattrs', () => {
    const lines = [
      '/ 4096 40755 2 0 0 0 0.0 - - - user.\\x3d=-\\x3d\\xff',
      '/- 1 100644 1 0 0 0 -1.5 - \\x2d -',
      '/=\\x20\\x7f~\\\\\\n\\r\\t 1 120777 1 0 0 0 0.0 \\x2d - -',
      '/b 1 @120777 1 0 0 0 0.0 /=\\x20\\x7f~\\\\\\n\\r\\t - -',
      '',
    ].join('\n')
    assert.equal(dump(parse(lines)).toString(), lines)
  })

  test('keeps the primary name of an inode where it is', () => {
    const text = `${root}/a 0 @100644 2 0 0 0 0.0 /z - -\n/z 0 100644 2 0 0 0 0.0 - - -\n`
    assert.equal(dump(parse(text)).toString(), text)
  })

  test('reads back as the same tree, which has the same image', () => {
    fc.assert(
      fc.property(randomTree({ ambiguous: true, foreignPaths: true }), (tree) => {
        const back = parseDump(dump(tree), { compat: true })
        assert.deepEqual(outline(back), outline(tree))
        assert.equal(composeImage(back).digest, composeImage(tree).digest)
      }),
      { numRuns: 100 },
    )
  })

  const folder = vectors('composefs')
  for (const file of ['config.dump.gz', 'special.dump', 'longlink.dump', 'bigfile.dump'])
    test(`dump, image, dump: ${file}`, { skip: withoutVectors('composefs') }, () => {
      const bytes = readFileSync(`${folder}/${file}`)
      const tree = parseDump(file.endsWith('.gz') ? gunzipSync(bytes) : bytes, { compat: true })
      const image = composeImage(tree)
      assert.ok(dump(tree).equals(dump(readErofs(image.bytes))))
      assert.equal(composeImage(parseDump(dump(tree))).digest, image.digest)
    })
})

function parse(text: string): Directory {
  return parseDump(Buffer.from(text, 'latin1'))
}

function dump(tree: Directory): Buffer {
  return Buffer.concat([...writeDump(tree)])
}
