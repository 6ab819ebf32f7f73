import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readFileSync, readdirSync } from 'node:fs'
import { fuzzConfigs, fuzzManifests } from '../../../test/fuzz/manifest.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import type { Descriptor } from './descriptor.ts'
import { parseDockerSave } from './docker-save.ts'
import { jsonLimits, membersMax } from '../json.ts'
import {
  checkLayerTypes,
  detectMediaType,
  parseArtifact,
  parseIndex,
  parseManifest,
  writeIndex,
  writeManifest,
} from './manifest.ts'
import { documentKind, mediaTypes } from './media-types.ts'

const hex = 'ab'.repeat(32)
const descriptor = (mediaType: string, more: object = {}): object => ({
  mediaType,
  digest: `sha256:${hex}`,
  size: 7,
  ...more,
})
const config = descriptor(mediaTypes.config)
const image = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [descriptor(mediaTypes.layerGzip)] }
const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [descriptor(mediaTypes.manifest)] }

const bytesOf = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))

describe('parseManifest() reads', () => {
  test('an OCI manifest', () => {
    const bytes = bytesOf({ ...image, annotations: { b: '2', a: '1' }, subject: descriptor(mediaTypes.manifest) })
    const want = { mediaType: mediaTypes.config, digest: `sha256:${hex}`, size: 7 }
    assert.deepEqual(parseManifest(bytes), {
      kind: 'manifest',
      mediaType: mediaTypes.manifest,
      config: want,
      layers: [{ ...want, mediaType: mediaTypes.layerGzip }],
      annotations: Object.assign(Object.create(null), { a: '1', b: '2' }),
      artifactType: undefined,
      subject: { ...want, mediaType: mediaTypes.manifest },
    })
  })

  test('an index with platforms', () => {
    const platform = { os: 'linux', architecture: 'arm', variant: 'v7', 'os.version': '1', features: ['x'] }
    const parsed = parseManifest(bytesOf({ ...index, manifests: [descriptor(mediaTypes.manifest, { platform })] }))
    assert.equal(parsed.kind, 'index')
    assert.deepEqual(parsed.kind === 'index' && parsed.manifests[0]?.platform, {
      os: 'linux',
      architecture: 'arm',
      variant: 'v7',
      osVersion: '1',
    })
  })

  const accepted: [name: string, document: unknown, announced: string | undefined, mediaType: string][] = [
    ['Docker schema 2', dockerImage(mediaTypes.dockerConfig), undefined, mediaTypes.dockerManifest],
    ['a config that Docker 1.10 wrote', dockerImage('application/octet-stream'), undefined, mediaTypes.dockerManifest],
    ['a manifest without mediaType', { ...image, mediaType: undefined }, undefined, mediaTypes.manifest],
    [
      'one announced by Content-Type',
      { ...image, mediaType: undefined },
      mediaTypes.dockerManifest,
      mediaTypes.dockerManifest,
    ],
    ['one served as text/plain', image, 'text/plain; charset=utf-8', mediaTypes.manifest],
    ['one served as the other dialect', image, mediaTypes.dockerManifest, mediaTypes.manifest],
    ['an index without mediaType', { ...index, mediaType: undefined }, undefined, mediaTypes.index],
    [
      'an index whose list Go printed as null',
      { schemaVersion: 2, manifests: null },
      mediaTypes.index,
      mediaTypes.index,
    ],
    ['an image without layers', { ...image, layers: [] }, undefined, mediaTypes.manifest],
    ['layers that Go printed as null', { ...image, layers: null }, undefined, mediaTypes.manifest],
    [
      'sha512',
      { ...image, config: descriptor(mediaTypes.config, { digest: `sha512:${hex}${hex}` }) },
      undefined,
      mediaTypes.manifest,
    ],
    ['fields nobody knows', { ...image, 'x-thing': [{}] }, undefined, mediaTypes.manifest],
  ]
  for (const [name, document, announced, mediaType] of accepted)
    test(name, () => assert.equal(parseManifest(bytesOf(document), { mediaType: announced }).mediaType, mediaType))

  test('keys like __proto__ as data', () => {
    const text = JSON.stringify({ ...image, annotations: { x: '1' } }).replace(
      '"x":"1"',
      '"__proto__":"1","constructor":"2"',
    )
    const { annotations } = parseManifest(bytesOf(text))
    assert.deepEqual(Object.entries(annotations), [
      ['__proto__', '1'],
      ['constructor', '2'],
    ])
    assert.equal(({} as Record<string, unknown>)['x'], undefined)
  })
})

describe('parseManifest() refuses', () => {
  const withDigest = (digest: unknown): object => ({ ...image, config: descriptor(mediaTypes.config, { digest }) })
  const withSize = (size: unknown): object => ({ ...image, config: descriptor(mediaTypes.config, { size }) })
  const refused: [name: string, document: unknown, code: Code, message: RegExp, announced?: string][] = [
    ['nothing', '', 'BAD_FORMAT', /not JSON/],
    ['half a document', JSON.stringify(image).slice(0, -1), 'BAD_FORMAT', /not JSON/],
    ['a byte order mark', `\ufeff${JSON.stringify(image)}`, 'BAD_FORMAT', /not JSON/],
    ['a list', [image], 'BAD_FORMAT', /the document is a list, expected an object/],
    ['null', 'null', 'BAD_FORMAT', /the document is null/],
    ['no schemaVersion', { ...image, schemaVersion: undefined }, 'BAD_FORMAT', /schemaVersion is missing/],
    ['a schemaVersion in quotes', { ...image, schemaVersion: '2' }, 'BAD_FORMAT', /schemaVersion is "2"/],
    ['a schema of the future', { ...image, schemaVersion: 3 }, 'UNSUPPORTED', /schemaVersion is 3, expected 2/],
    ['schema 1', { schemaVersion: 1, name: 'x', fsLayers: [] }, 'UNSUPPORTED', /schema version 1/],
    [
      'schema 1 by media type',
      { ...image, mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
      'UNSUPPORTED',
      /schema version 1/,
    ],
    ['neither shape', { schemaVersion: 2 }, 'BAD_FORMAT', /neither "config" and "layers".*nor "manifests"/],
    [
      'both shapes',
      { ...image, mediaType: undefined, manifests: [] },
      'BAD_FORMAT',
      /is an image index, but has "config" as well/,
    ],
    [
      'both shapes with a mediaType',
      { ...image, manifests: [] },
      'BAD_FORMAT',
      /is an image manifest, but has "manifests" as well/,
    ],
    ['an index announced as manifest', index, 'BAD_FORMAT', /it is an image index/, mediaTypes.dockerManifest],
    ['a manifest announced as index', image, 'BAD_FORMAT', /it is an image manifest/, mediaTypes.index],
    [
      'a media type nobody knows',
      { ...image, mediaType: 'application/x-thing' },
      'UNSUPPORTED',
      /"application\/x-thing", expected an image/,
    ],
    ['no config', { ...image, config: undefined }, 'BAD_FORMAT', /config is missing/],
    ['a config that is no object', { ...image, config: 'x' }, 'BAD_FORMAT', /config is "x", expected an object/],
    [
      'a config without media type',
      { ...image, config: descriptor(mediaTypes.config, { mediaType: undefined }) },
      'BAD_FORMAT',
      /config.mediaType is missing/,
    ],
    [
      'a chart',
      { ...image, config: descriptor('application/vnd.cncf.helm.config.v1+json') },
      'UNSUPPORTED',
      /artifact as an image.*"application\/vnd.cncf.helm.config.v1\+json"/,
    ],
    [
      'an empty config',
      { ...image, artifactType: 'text/spdx', config: descriptor('application/vnd.oci.empty.v1+json') },
      'UNSUPPORTED',
      /empty.*artifact type "text\/spdx"/,
    ],
    [
      'octets as config in OCI',
      { ...image, config: descriptor('application/octet-stream') },
      'UNSUPPORTED',
      /"application\/octet-stream"/,
    ],
    ['layers that are no list', { ...image, layers: {} }, 'BAD_FORMAT', /layers is an object, expected a list/],
    ['a layer that is null', { ...image, layers: [null] }, 'BAD_FORMAT', /layers\[0\] is null, expected an object/],
    ['too many layers', { ...image, layers: Array(membersMax + 1).fill(0) }, 'LIMIT', /layers has 10001 members/],
    [
      'too many manifests',
      { ...index, manifests: Array(membersMax + 1).fill(0) },
      'LIMIT',
      /manifests has 10001 members/,
    ],
    [
      'too much of it',
      `${JSON.stringify(image)}${' '.repeat(jsonLimits.bytes)}`,
      'LIMIT',
      /has \d+ bytes, at most 4194304/,
    ],
    ['10 MB', ' '.repeat(10_000_000), 'LIMIT', /has 10000000 bytes/],
    ['deep nesting', `{"a":${'['.repeat(64)}${']'.repeat(64)}}`, 'LIMIT', /nested deeper than 64/],
    ['a million empty objects', `{"a":[${'{},'.repeat(1_000_000)}{}]}`, 'LIMIT', /has more than 250000 values/],
    ['a million brackets', '['.repeat(1_000_000), 'LIMIT', /nested deeper than 64/],
    [
      'a path as digest',
      withDigest('sha256:../../../../etc/passwd'),
      'BAD_FORMAT',
      /config.digest is "sha256:..\/..\/..\/..\/etc\/passwd"/,
    ],
    ['upper-case digests', withDigest(`sha256:${hex.toUpperCase()}`), 'BAD_FORMAT', /config.digest/],
    ['short digests', withDigest(`sha256:${hex.slice(1)}`), 'BAD_FORMAT', /config.digest/],
    ['a digest with a line after it', withDigest(`sha256:${hex}\n`), 'BAD_FORMAT', /config.digest/],
    ['an empty digest', withDigest(''), 'BAD_FORMAT', /config.digest is ""/],
    ['a digest of another algorithm', withDigest(`blake3:${hex}`), 'UNSUPPORTED', /only sha256 and sha512/],
    ['a negative size', withSize(-1), 'BAD_FORMAT', /config.size is -1/],
    ['half a byte', withSize(0.5), 'BAD_FORMAT', /config.size is 0.5/],
    ['a size beyond 2^53', withSize(2 ** 53), 'BAD_FORMAT', /config.size is 9007199254740992/],
    ['a size in quotes', withSize('7'), 'BAD_FORMAT', /config.size is "7"/],
    ['a size that is missing', withSize(null), 'BAD_FORMAT', /config.size is missing/],
    [
      'annotations that are no strings',
      { ...image, annotations: { a: 1 } },
      'BAD_FORMAT',
      /annotations.a is 1, expected a string/,
    ],
    ['annotations in a list', { ...image, annotations: [] }, 'BAD_FORMAT', /annotations is a list/],
  ]
  for (const [name, document, code, message, announced] of refused)
    test(name, () => {
      assert.throws(
        () => parseManifest(bytesOf(document), { mediaType: announced, digest: 'sha256:xyz' }),
        (error: Error) => hasCode(error, code) && message.test(error.message),
      )
    })

  test('bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')])
    assert.throws(() => parseManifest(bytes), { code: 'BAD_FORMAT', message: /not UTF-8/ })
  })

  test('a limit of the caller', () => {
    assert.throws(() => parseManifest(bytesOf(image), {}, { bytes: 10, depth: 64, values: 100 }), { code: 'LIMIT' })
  })
})

describe('checkLayerTypes()', () => {
  const declared = new Set(['application/vnd.example.layer'])
  const check = (mediaType: string): void => {
    const parsed = parseManifest(bytesOf(withLayer(mediaType)))
    assert.ok(parsed.kind === 'manifest')
    checkLayerTypes(parsed, declared)
  }

  for (const mediaType of [
    mediaTypes.layerZstd,
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
    'application/vnd.example.layer',
  ])
    test(`takes ${mediaType}`, () => check(mediaType))

  const refused: [mediaType: string, message: RegExp][] = [
    [
      'application/vnd.oci.image.layer.v1.tar+gzip+encrypted',
      /"application\/vnd.oci.image.layer.v1.tar\+gzip\+encrypted": it is encrypted/,
    ],
    ['application/octet-stream', /"application\/octet-stream": expected a tar layer/],
    ['application/vnd.example.layer+gzip', /expected a tar layer/],
    ['', /"": expected a tar layer/],
  ]
  for (const [mediaType, message] of refused)
    test(`refuses ${JSON.stringify(mediaType)}`, () => {
      assert.throws(
        () => check(mediaType),
        (error: Error) => hasCode(error, 'UNSUPPORTED') && message.test(error.message),
      )
    })
})

test('a bracket inside a string is no nesting', () => {
  const annotations = { a: `\\"${'['.repeat(100)}\\` }
  assert.deepEqual({ ...parseManifest(bytesOf({ ...image, annotations })).annotations }, annotations)
})

test('parseArtifact() reads what is no image, parseIndex() nothing but indexes', () => {
  const chart = bytesOf({ ...image, config: descriptor('application/vnd.cncf.helm.config.v1+json') })
  assert.equal(parseArtifact(chart).kind, 'manifest')
  assert.throws(() => parseIndex(chart, 'index.json'), {
    code: 'BAD_FORMAT',
    message: /index.json.*it is an image manifest/,
  })
})

test('detectMediaType() looks at the field, then at the shape', () => {
  assert.equal(detectMediaType(bytesOf({ ...image, mediaType: undefined })), mediaTypes.manifest)
  assert.equal(detectMediaType(bytesOf({ ...index, mediaType: mediaTypes.dockerIndex })), mediaTypes.dockerIndex)
  assert.throws(() => detectMediaType(bytesOf({ schemaVersion: 2 })), { code: 'BAD_FORMAT' })
})

test('documentKind() ignores case and parameters', () => {
  assert.equal(documentKind(`${mediaTypes.manifest.toUpperCase()} ; charset=utf-8`), 'manifest')
  assert.equal(documentKind('application/json'), undefined)
})

test('writeManifest() writes the same bytes for the same image', () => {
  const of = (mediaType: string): Descriptor => ({ mediaType, digest: digestOf('x'), size: 1 })
  const bytes = writeManifest({
    config: of(mediaTypes.config),
    layers: [{ ...of(mediaTypes.layer), annotations: { b: '2', a: '1' } }],
    annotations: { z: '', y: 'é' },
  })
  const x = digestOf('x')
  assert.equal(
    Buffer.from(bytes).toString(),
    `{"schemaVersion":2,"mediaType":"${mediaTypes.manifest}","config":{"mediaType":"${mediaTypes.config}","digest":"${x}","size":1},` +
      `"layers":[{"mediaType":"${mediaTypes.layer}","digest":"${x}","size":1,"annotations":{"a":"1","b":"2"}}],"annotations":{"y":"é","z":""}}`,
  )
})

const text = fc.string({ unit: 'binary', maxLength: 8 })
const anyDescriptor = (mediaType: string): fc.Arbitrary<Descriptor> =>
  fc.record(
    {
      mediaType: fc.constant(mediaType),
      digest: fc.string().map((seed) => digestOf(seed)),
      size: fc.maxSafeNat(),
      annotations: fc.dictionary(text, text),
      platform: fc.record(
        { os: text, architecture: text, variant: fc.constantFrom('v7', 'v8'), osVersion: fc.constant('10') },
        { requiredKeys: ['os', 'architecture'] },
      ),
      artifactType: text,
    },
    { requiredKeys: ['mediaType', 'digest', 'size'] },
  )

/** Own properties only: maps from documents have no prototype. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('what is written is read back', () => {
  const manifest = fc.record({
    config: anyDescriptor(mediaTypes.config),
    layers: fc.array(anyDescriptor(mediaTypes.layerZstd), { maxLength: 4 }),
    annotations: fc.dictionary(text, text),
  })
  fc.assert(
    fc.property(manifest, (written) => {
      const read = parseManifest(writeManifest(written))
      assert.equal(read.kind, 'manifest')
      if (read.kind === 'manifest')
        assert.deepEqual(
          plain({ config: read.config, layers: read.layers, annotations: read.annotations }),
          plain(written),
        )
    }),
  )
  fc.assert(
    fc.property(fc.array(anyDescriptor(mediaTypes.manifest), { maxLength: 4 }), (manifests) => {
      const read = parseManifest(writeIndex({ manifests }))
      assert.deepEqual(read.kind === 'index' && plain(read.manifests), plain(manifests))
    }),
  )
})

test('every document of the vectors is read', { skip: withoutVectors('one-tree/oci') }, () => {
  const folder = `${vectors('one-tree/oci')}/blobs/sha256/`
  const kinds = { manifest: 0, index: 0 }
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(folder + name)
    if (!bytes.subarray(0, 30).toString('latin1').startsWith('{"schemaVersion":2')) continue
    kinds[parseArtifact(bytes).kind]++
  }
  assert.deepEqual(kinds, { manifest: 15, index: 2 })
})

test('parseDockerSave() reads what Go programs print', () => {
  const item = { Config: 'c.json', RepoTags: null, Layers: ['a/layer.tar'], LayerSources: {} }
  assert.deepEqual(parseDockerSave(bytesOf([item])), [{ config: 'c.json', tags: [], layers: ['a/layer.tar'] }])
  assert.throws(() => parseDockerSave(bytesOf({})), {
    code: 'BAD_FORMAT',
    message: /list is an object, expected a list/,
  })
  assert.throws(() => parseDockerSave(bytesOf([{ RepoTags: [] }])), {
    code: 'BAD_FORMAT',
    message: /Config is missing/,
  })
})

test('fuzz: any bytes end in a value or an error of ours', () => {
  fuzzManifests(1, 3000)
  fuzzConfigs(2, 3000)
})

function dockerImage(configType: string): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: descriptor(configType),
    layers: [descriptor(mediaTypes.dockerLayerGzip)],
  }
}

function withLayer(mediaType: string): object {
  return { ...image, layers: [descriptor(mediaTypes.layer), descriptor(mediaType, { urls: ['https://host/x'] })] }
}
