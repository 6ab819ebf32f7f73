import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fuzzStoreFiles, randomRecord } from '../../../test/fuzz/store-files.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { type ImageRecord, formatLayer, formatRecord, parseLayer, parseRecord } from './image-record.ts'

const digest = digestOf('manifest')
const sample: ImageRecord = {
  manifest: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 2 },
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf('config'), size: 3 },
  platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  layers: [],
  images: {},
  origin: { source: 'oci:x' },
  keepSelinux: false,
  size: 5,
}

test('records read as they were written', () => {
  fc.assert(
    fc.property(randomRecord, (record) => {
      assert.deepEqual(parseRecord(formatRecord(record), record.manifest.digest), record)
      for (const layer of record.layers) assert.deepEqual(parseLayer(formatLayer(layer), 'note'), layer)
    }),
  )
})

test('the bytes of a record stay as they are', () => {
  assert.equal(
    digestOf(formatRecord(sample)),
    'sha256:d748acfa4d05a31f23e8869bdc144c4442849d8e6f60597819145d8bf84f9d06',
  )
})

describe('a record is refused when', () => {
  // Without its sum, which would be found wrong first.
  const text = Buffer.from(formatRecord(sample))
    .toString()
    .replace(/,\n {2}"sum": "[0-9a-f]+"/, '')
  const layer = `{"blob":{"mediaType":"a","digest":"${digest}","size":1},"diffId":"${digest}","recipe":"${'a'.repeat(64)}","kind":"layer","proof":"proven"}`
  const edits: [string, string, string][] = [
    ['it is of another manifest', digest, digestOf('other')],
    ['it has no config', '"config"', '"konfig"'],
    ['its platform is a list', /"platform": \{[^}]*\}/.exec(text)?.[0] ?? '', '"platform": []'],
    ['a size is negative', '"size": 5', '"size": -5'],
    ['a size is a fraction', '"size": 5', '"size": 5.5'],
    ['keepSelinux is missing', '"keepSelinux"', '"keep"'],
    ['keepSelinux is a string', '"keepSelinux": false', '"keepSelinux": "false"'],
    ['an image is no digest', '"images": {}', '"images": {"default": "../../etc/passwd"}'],
    ['a recipe is no digest', '"layers": []', `"layers": [${layer.replace('aaaa', 'AAAA')}]`],
    ['a diffID is none', '"layers": []', `"layers": [${layer.replace('"diffId":"sha256:', '"diffId":"sha256:0')}]`],
    ['a kind is unknown', '"layers": []', `"layers": [${layer.replace('"layer"', '"stratum"')}]`],
    ['a proof is unknown', '"layers": []', `"layers": [${layer.replace('proven', 'believed')}]`],
    ['it ends early', text, text.slice(0, -3)],
    ['it is empty', text, ''],
  ]
  for (const [why, from, to] of edits)
    test(why, () => {
      assert.ok(text.includes(from))
      assert.throws(
        () => parseRecord(Buffer.from(text.replace(from, to)), digest),
        (error) => hasCode(error, 'BAD_FORMAT'),
      )
    })
})

test('whatever lies in files of the store, readers end in a value or an error of ours', () => {
  fuzzStoreFiles(1, 300)
})
