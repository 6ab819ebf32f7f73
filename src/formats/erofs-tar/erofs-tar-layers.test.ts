import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type TestEntry, directory, file, tarOf } from '../../../test/fixtures/images.ts'
import { collect } from '../../../test/fixtures/table-layers.ts'
import { digestOf, parseDiffId } from '../../digest.ts'
import type { LayerFacts, LayerInput, WritingTools } from '../format.ts'
import { type Descriptor, describeBlob } from '../oci/descriptor.ts'
import { parseArtifact } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { erofsTarLayers } from './erofs-tar-layers.ts'
import { boundIndexOf, erofsTarBinding, impliedMax } from './tar-index-annotations.ts'

interface Written {
  readonly layer: Descriptor
  readonly facts: LayerFacts
  readonly bytes: Buffer
  readonly warnings: readonly string[]
}

async function write(tar: Buffer, lossy = false): Promise<Written> {
  const warnings: string[] = []
  const output = await erofsTarLayers.layer(inputOf(tar), { lossy }, toolsFor(warnings))
  const { blob: bytes, result: facts } = await collect(output.bytes)
  const { annotations = {} } = facts
  return { layer: { ...describeBlob(output.mediaType, bytes), annotations }, facts, bytes, warnings }
}

function inputOf(tar: Buffer): LayerInput {
  return {
    blob: describeBlob(mediaTypes.layerGzip, Buffer.from('gone')),
    diffId: parseDiffId(digestOf(tar)),
    first: 0,
    tar: () => [tar.subarray(0, 700), tar.subarray(700)],
    original: async () => assert.fail('the blob as it came is of no use'),
  }
}

function toolsFor(warnings: string[]): WritingTools {
  const unused = (): never => assert.fail('nothing is compressed')
  return {
    compress: unused,
    gzip: unused,
    codecs: { decoder: unused, gunzipIndexing: unused },
    onWarning: (message) => void warnings.push(message),
  }
}

const small: readonly TestEntry[] = [file('a/b', 'content'), directory('c')]

describe('a layer', () => {
  test('stays the tar that it is, and binds its index', async () => {
    const tar = tarOf(small)
    const { layer, facts, bytes } = await write(tar)
    assert.ok(bytes.equals(tar))
    assert.equal(layer.mediaType, mediaTypes.layer)
    assert.equal(facts.diffId, layer.digest)
    const index = facts.index ?? assert.fail('there is no index')
    assert.deepEqual(layer.annotations, {
      'org.onefold.erofs-tar.digest': digestOf(index),
      'org.onefold.erofs-tar.size': String(index.length),
      'org.onefold.erofs-tar.implied': '40,43',
    })
    assert.deepEqual(erofsTarBinding(layer), { digest: digestOf(index) })
    const bound = boundIndexOf(layer)
    assert.deepEqual([bound.blob.digest, bound.blob.size], [digestOf(index), index.length])
    assert.deepEqual(bound.implied, new Set([40, 43]))
  })

  test('with an entry for every directory says nothing of directories', async () => {
    const { layer } = await write(tarOf([directory(''), directory('c')]))
    assert.deepEqual(boundIndexOf(layer).implied, new Set())
    assert.equal(layer.annotations?.['org.onefold.erofs-tar.implied'], undefined)
  })

  test('that cannot be indexed is refused, or what was lost is told', async () => {
    const tar = tarOf([file('a', 'old'), file('a', 'new')])
    await assert.rejects(write(tar), { code: 'UNSUPPORTED', message: /"a".* a name twice/ })
    const { bytes, warnings } = await write(tar, true)
    assert.ok(bytes.equals(tar))
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] ?? '', /"a".* a name twice; the nearest is written/)
  })

  test('leaves out entries for so many directories and no more', async () => {
    const layer = (count: number): Buffer => tarOf(Array.from({ length: count }, (_, i) => file(`${i}/x`)))
    // One of them is the root.
    const most = await write(layer(impliedMax - 1))
    assert.equal(boundIndexOf(most.layer).implied.size, impliedMax)
    await assert.rejects(write(layer(impliedMax)), { code: 'UNSUPPORTED', message: /more than 1000 directories/ })
    const { layer: lossy, warnings } = await write(layer(impliedMax), true)
    assert.equal(boundIndexOf(lossy).implied.size, impliedMax)
    assert.equal(warnings.length, 1)
  })
})

describe('what a layer says of its index', () => {
  const digest = digestOf('index')
  const digestName = 'org.onefold.erofs-tar.digest'
  const said = { [digestName]: digest, 'org.onefold.erofs-tar.size': '512' }
  const wrong: readonly [what: string, annotations: Record<string, string>, message: RegExp][] = [
    ['no digest', { 'org.onefold.erofs-tar.size': '512' }, /digest is missing/],
    ['a digest that is none', { ...said, [digestName]: 'md5:none' }, /is no digest/],
    ['no size', { [digestName]: digest }, /size is no size/],
    ['a size that is none', { ...said, 'org.onefold.erofs-tar.size': '-1' }, /size is no size/],
    ['numbers that are none', { ...said, 'org.onefold.erofs-tar.implied': '40,x' }, /no list of at most 1000 numbers/],
    [
      'too many numbers',
      { ...said, 'org.onefold.erofs-tar.implied': Array.from({ length: 1001 }, (_, i) => i).join() },
      /no list of at most 1000/,
    ],
  ]
  for (const [what, annotations, message] of wrong)
    test(`${what} is refused`, () => {
      const layer = { mediaType: mediaTypes.layer, digest: digestOf('tar'), size: 1024, annotations }
      assert.throws(() => boundIndexOf(layer), { code: 'BAD_FORMAT', message })
    })
})

test('an artifact names the indexes of an image', async () => {
  const written = await Promise.all([small, [file('x')]].map((entries) => write(tarOf(entries))))
  const image = describeBlob(mediaTypes.manifest, Buffer.from('{}'))
  const layers = written.map(({ layer, facts }) => ({ blob: layer, ...facts }))
  const artifact = erofsTarLayers.attach?.(image, layers, {}) ?? assert.fail('there is no artifact')
  const manifest = parseArtifact(artifact.manifest)
  assert.ok(manifest.kind === 'manifest')
  assert.equal(manifest.artifactType, 'application/vnd.onefold.erofs-tar.v1')
  assert.equal(manifest.subject?.digest, image.digest)
  assert.deepEqual(
    manifest.layers.map(({ digest, annotations }) => ({ digest, annotations: { ...annotations } })),
    written.map(({ layer, facts }) => ({
      digest: digestOf(facts.index ?? ''),
      annotations: { 'org.onefold.erofs-tar.layer': layer.digest },
    })),
  )
  const held = new Map(artifact.blobs.map(({ descriptor, bytes }) => [descriptor.digest, bytes]))
  for (const { digest, size } of [manifest.config, ...manifest.layers]) {
    const bytes = held.get(digest) ?? assert.fail(`${digest} is missing`)
    assert.deepEqual([digestOf(bytes), bytes.length], [digest, size])
  }
  assert.deepEqual(artifact.listed, { artifactType: 'application/vnd.onefold.erofs-tar.v1', annotations: {} })
})
