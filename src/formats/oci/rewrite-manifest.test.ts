import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Digest, digestOf, parseDiffId } from '../../digest.ts'
import { loadFormats } from '../all.ts'
import { untrueAnnotations } from '../untrue-annotations.ts'
import {
  addAnnotations,
  addToLayout,
  emptyLayout,
  replaceDiffIds,
  replaceLayers,
  replaceManifests,
} from './rewrite-manifest.ts'

const oci = 'application/vnd.oci.image'
const docker = 'application/vnd.docker'
const [a, b, c] = ['a', 'b', 'c'].map((text) => digestOf(text)) as [Digest, Digest, Digest]

const untrue = untrueAnnotations(await loadFormats())

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

describe('replaceLayers()', () => {
  test('changes layers and keeps the rest, known or not', () => {
    const config = { mediaType: `${oci}.config.v1+json`, digest: a, size: 1, annotations: { of: 'config' } }
    const rest = { subject: { digest: b }, annotations: { z: '1', a: '2' }, 'x-more': [1, null] }
    const layer = { mediaType: `${oci}.layer.v1.tar+zstd`, digest: a, size: 7, urls: ['http://x/'] }
    const manifest = json({ schemaVersion: 2, config, layers: [layer], ...rest })
    const written = replaceLayers(manifest, { layers: [{ digest: c, size: 9 }] }, untrue)
    assert.equal(
      Buffer.from(written).toString(),
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${oci}.manifest.v1+json`,
        config,
        layers: [{ mediaType: `${oci}.layer.v1.tar+gzip`, digest: c, size: 9 }],
        ...rest,
      }),
    )
  })

  test('adds what is said of a layer whose bytes stay', () => {
    const layer = { mediaType: `${oci}.layer.v1.tar`, digest: a, size: 7, annotations: { kept: 'x' } }
    const manifest = json({ schemaVersion: 2, config: {}, layers: [layer, { ...layer, digest: b }] })
    const now = [
      { digest: a, size: 7, annotations: { index: 'y' } },
      { digest: b, size: 7 },
    ]
    const written = replaceLayers(manifest, { layers: now }, untrue)
    const after = JSON.parse(Buffer.from(written).toString()) as { layers: object[] }
    assert.deepEqual(after.layers, [
      { ...layer, annotations: { kept: 'x', index: 'y' } },
      { ...layer, digest: b },
    ])
  })

  test('drops annotations of a layer that tell of its compression alone', () => {
    const annotations = {
      kept: 'x',
      'containerd.io/snapshot/stargz/toc.digest': a,
      'io.containers.estargz.uncompressed-size': '1',
      'io.github.containers.zstd-chunked.manifest-checksum': b,
      'io.containers.zstd-chunked.manifest-checksum': b,
    }
    const layers = [
      { mediaType: 'x', digest: a, size: 1, annotations },
      { mediaType: 'x', digest: b, size: 1, annotations: { 'io.containers.estargz.uncompressed-size': '1' } },
    ]
    const now = [1, 2].map(() => ({ digest: c, size: 9 }))
    const written = replaceLayers(json({ schemaVersion: 2, config: {}, layers }), { layers: now }, untrue)
    const after = JSON.parse(Buffer.from(written).toString()) as { layers: { annotations?: object }[] }
    assert.deepEqual(
      after.layers.map((layer) => layer.annotations),
      [{ kept: 'x' }, undefined],
    )
  })

  test('says what is known of new layers, and no longer where an index of old ones is', () => {
    const annotations = { 'com.amazon.soci.index-digest': a, kept: 'x' }
    const config = { mediaType: 'x', digest: a, size: 1 }
    const manifest = json({ schemaVersion: 2, config, layers: [{ mediaType: 'x', digest: a, size: 1 }], annotations })
    const layer = { digest: c, size: 9, mediaType: `${oci}.layer.v1.tar`, annotations: { of: 'layer' } }
    const written = replaceLayers(
      manifest,
      { layers: [layer], config: { digest: b, size: 3 }, annotations: { more: 'y' } },
      untrue,
    )
    assert.deepEqual(JSON.parse(Buffer.from(written).toString()), {
      schemaVersion: 2,
      mediaType: `${oci}.manifest.v1+json`,
      config: { mediaType: `${oci}.config.v1+json`, digest: b, size: 3 },
      layers: [layer],
      annotations: { kept: 'x', more: 'y' },
    })
    const same = JSON.parse(
      Buffer.from(replaceLayers(manifest, { layers: [{ digest: a, size: 1 }] }, untrue)).toString(),
    ) as object
    assert.deepEqual('annotations' in same && same.annotations, annotations)
  })

  test('makes OCI of Docker', () => {
    const config = { mediaType: `${docker}.container.image.v1+json`, digest: a, size: 1 }
    const layers = [{ mediaType: `${docker}.image.rootfs.diff.tar.gzip`, digest: a, size: 1 }]
    const manifest = { schemaVersion: 2, mediaType: `${docker}.distribution.manifest.v2+json`, config, layers }
    const written = Buffer.from(replaceLayers(json(manifest), { layers: [{ digest: b, size: 2 }] }, untrue)).toString()
    assert.doesNotMatch(written, /docker/)
    assert.match(written, new RegExp(`"config":{"mediaType":"${oci}.config.v1\\+json","digest":"${a}"`))
  })
})

test('replaceDiffIds() changes nothing else', () => {
  const config = { created: 'then', rootfs: { type: 'layers', diff_ids: [a] }, os: 'linux', more: [1] }
  const diffIds = [b, c].map(parseDiffId)
  assert.equal(
    Buffer.from(replaceDiffIds(json(config), diffIds)).toString(),
    JSON.stringify({ ...config, rootfs: { type: 'layers', diff_ids: diffIds } }),
  )
})

test('replaceManifests() puts what belongs to images behind them', () => {
  const index = { schemaVersion: 2, manifests: [{ mediaType: 'm', digest: a, size: 1, annotations: { k: '1' } }] }
  const now = new Map([[String(a), { mediaType: 'm', digest: b, size: 2, annotations: { l: '2' } }]])
  const written = replaceManifests(json(index), now, untrue, [
    { mediaType: 'n', digest: c, size: 3, artifactType: 't' },
  ])
  assert.deepEqual((JSON.parse(Buffer.from(written).toString()) as { manifests: object }).manifests, [
    { mediaType: 'm', digest: b, size: 2, annotations: { k: '1', l: '2' } },
    { mediaType: 'n', digest: c, size: 3, artifactType: 't' },
  ])
})

test('replaceManifests() keeps what is known of an entry, and leaves out the others', () => {
  const platform = { architecture: 'arm64', os: 'linux' }
  const index = {
    schemaVersion: 2,
    manifests: [
      { mediaType: 'old', digest: a, size: 1, platform, annotations: { kept: 'x' } },
      { mediaType: 'old', digest: b, size: 1 },
    ],
    annotations: { of: 'index' },
  }
  const now = new Map([[String(a), { mediaType: 'new', digest: c, size: 5 }]])
  assert.equal(
    Buffer.from(replaceManifests(json(index), now, untrue)).toString(),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${oci}.index.v1+json`,
      manifests: [{ mediaType: 'new', digest: c, size: 5, platform, annotations: { kept: 'x' } }],
      annotations: { of: 'index' },
    }),
  )
})

test('addToLayout() gives a name to one entry, and an image one entry', () => {
  const entry = (digest: Digest): { mediaType: string; digest: Digest; size: number } => ({
    mediaType: 'm',
    digest,
    size: 1,
  })
  const entriesOf = (bytes: Uint8Array): (string | undefined)[][] => {
    const { manifests } = JSON.parse(Buffer.from(bytes).toString()) as {
      manifests: { digest: string; annotations?: Record<string, string> }[]
    }
    return manifests.map(({ digest, annotations }) => [digest, annotations?.['org.opencontainers.image.ref.name']])
  }
  const one = addToLayout(emptyLayout, entry(a), 'x')
  const two = addToLayout(one, entry(b), undefined)
  const three = addToLayout(two, entry(b), 'x')
  assert.deepEqual(entriesOf(one), [[a, 'x']])
  assert.deepEqual(entriesOf(two), [
    [a, 'x'],
    [b, undefined],
  ])
  assert.deepEqual(entriesOf(three), [
    [a, undefined],
    [b, 'x'],
  ])
})

test('addAnnotations() keeps the blobs and what is known of them, and makes an OCI manifest of a Docker one', () => {
  const layers = ['tar', 'tar.gzip', 'tar.zstd', 'foreign.diff.tar'].map((name, size) => ({
    mediaType: `${docker}.image.rootfs.${name.startsWith('tar') ? `diff.${name}` : name}`,
    digest: b,
    size,
  }))
  const config = { mediaType: `${docker}.container.image.v1+json`, digest: a, size: 1 }
  const written = addAnnotations(json({ schemaVersion: 2, config, layers, annotations: { z: '1', y: '2' } }), {
    y: '3',
  })
  assert.equal(
    Buffer.from(written).toString(),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${oci}.manifest.v1+json`,
      config: { ...config, mediaType: `${oci}.config.v1+json` },
      layers: layers.map((layer, i) => ({
        ...layer,
        mediaType:
          [`${oci}.layer.v1.tar`, `${oci}.layer.v1.tar+gzip`, `${oci}.layer.v1.tar+zstd`][i] ?? layer.mediaType,
      })),
      annotations: { z: '1', y: '3' },
    }),
  )
})
