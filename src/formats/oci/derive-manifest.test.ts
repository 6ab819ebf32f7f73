import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf, parseDiffId } from '../../digest.ts'
import { parseChange } from './config-changes.ts'
import { parseConfig, writeConfig } from './image-config.ts'
import { type Derivation, deriveConfig, ociLayers } from './derive-manifest.ts'
import { mediaTypes } from './media-types.ts'

const [first, second] = ['1', '2'].map((text) => parseDiffId(digestOf(text)))
const plain: Derivation = { diffId: second, created: 1_600_000_000, createdBy: 'test', changes: [] }

function derived(base: object, derivation: Partial<Derivation> = {}): unknown {
  const bytes = deriveConfig(Buffer.from(JSON.stringify(base)), { ...plain, ...derivation })
  return JSON.parse(Buffer.from(bytes).toString())
}

const base = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [first] } }

describe('deriveConfig', () => {
  test('a layer more, with its history; what is not known stays, what was of another container goes', () => {
    const docker = {
      ...base,
      created: 'then',
      container: 'x',
      container_config: {},
      id: 'y',
      parent: 'z',
      'x.y': [1],
      config: { Healthcheck: {} },
    }
    assert.deepEqual(derived(docker, { author: 'me', message: 'why' }), {
      created: '2020-09-13T12:26:40Z',
      author: 'me',
      architecture: 'amd64',
      os: 'linux',
      'x.y': [1],
      config: { Healthcheck: {} },
      rootfs: { type: 'layers', diff_ids: [first, second] },
      history: [
        { comment: 'a layer without history' },
        { created: '2020-09-13T12:26:40Z', created_by: 'test', author: 'me', comment: 'why' },
      ],
    })
  })

  test('a history that is whole is only added to', () => {
    const history = [{ empty_layer: true, created_by: 'a' }, { created_by: 'b' }]
    assert.deepEqual(derived({ ...base, history }, { diffId: undefined }), {
      created: '2020-09-13T12:26:40Z',
      ...base,
      config: {},
      history: [...history, { created: '2020-09-13T12:26:40Z', created_by: 'test', empty_layer: true }],
    })
  })

  test('changes of the config', () => {
    const config = {
      Cmd: ['old'],
      Env: ['A=1', 'B=2'],
      Labels: { b: '1' },
      ExposedPorts: { '80/tcp': {} },
      User: 'u',
    }
    const lines = [
      'ENTRYPOINT ["/e"]',
      'ENV B=3 C=4',
      'LABEL a=2 __proto__=x',
      'EXPOSE 53/udp',
      'ONBUILD RUN a',
      'VOLUME /v',
    ]
    const result = derived({ ...base, config }, { changes: lines.map(parseChange) })
    assert.ok(typeof result === 'object' && result !== null && 'config' in result)
    assert.equal(
      JSON.stringify(result.config),
      '{"Env":["A=1","B=3","C=4"],"Labels":{"__proto__":"x","a":"2","b":"1"},"ExposedPorts":{"53/udp":{},"80/tcp":{}},' +
        '"User":"u","Entrypoint":["/e"],"OnBuild":["RUN a"],"Volumes":{"/v":{}}}',
    )
    const kept = derived({ ...base, config }, { changes: ['ENTRYPOINT ["/e"]', 'CMD ["c"]'].map(parseChange) })
    assert.match(JSON.stringify(kept), /"Cmd":\["c"\]/)
  })

  test('what it writes can be read, and is always the same', () => {
    const bytes = deriveConfig(writeConfig({ platform: { os: 'linux', architecture: 'arm64' }, diffIds: [] }), plain)
    assert.deepEqual(parseConfig(bytes, 1).diffIds, [second])
    assert.equal(digestOf(bytes), 'sha256:ada02fa9fb945508be8eb2f945deed03550f74cb77ad61134524042ecf80f825')
  })

  test('a time that is none is refused', () => {
    for (const created of [Number.NaN, 0.5, 1e15, -1e12])
      assert.throws(() => derived(base, { created }), { code: 'USAGE' })
  })
})

test('layers of Docker get the names that OCI has for them', () => {
  const layer = { digest: digestOf('x'), size: 1 }
  const types = [mediaTypes.dockerLayerGzip, mediaTypes.dockerLayer, mediaTypes.layerZstd]
  assert.deepEqual(
    ociLayers(types.map((mediaType) => ({ ...layer, mediaType }))).map(({ mediaType }) => mediaType),
    [mediaTypes.layerGzip, mediaTypes.layer, mediaTypes.layerZstd],
  )
})
