import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  behind,
  collect,
  everyBlob,
  everyManifest,
  failure,
  faultySuite,
} from '../../../test/servers/faulty-registry.ts'

faultySuite('a document over a network that fails', (registry) => {
  suite('a manifest', () => {
    for (const type of [undefined, 'text/plain', 'application/json; charset=utf-8', 'application/octet-stream'])
      test(`with Content-Type ${type} is what it says itself`, async () => {
        await using setup = await behind(registry.open, everyManifest({ headers: { 'content-type': type } }))
        const { descriptor } = await setup.source.resolve()
        assert.equal(descriptor.mediaType, 'application/vnd.oci.image.manifest.v1+json')
        assert.equal(descriptor.digest, registry.image.manifestDigest)
      })

    test('has the digest of its bytes, whatever the registry says', async () => {
      const lie = { headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }
      await using setup = await behind(registry.open, everyManifest(lie))
      assert.equal((await setup.source.resolve()).descriptor.digest, registry.image.manifestDigest)
    })

    test('asked for by digest must have it', async () => {
      await using setup = await behind(registry.open, everyManifest({ flip: 20 }), {
        name: `app@${registry.image.manifestDigest}`,
      })
      const error = await failure(setup.source.resolve())
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.ok(error.message.includes(registry.image.manifestDigest))
    })

    test('compressed although nobody asked is unpacked', async () => {
      const body = gzipSync(registry.image.manifest)
      await using setup = await behind(
        registry.open,
        everyManifest({ status: 200, body, headers: { 'content-encoding': 'gzip' } }),
      )
      assert.deepEqual(Buffer.from((await setup.source.resolve()).bytes), registry.image.manifest)
    })

    test('that unpacks to too much is refused', async () => {
      const body = gzipSync(Buffer.alloc(5 * 1024 * 1024))
      await using setup = await behind(
        registry.open,
        everyManifest({ status: 200, body, headers: { 'content-encoding': 'gzip' } }),
      )
      assert.equal((await failure(setup.source.resolve())).code, 'LIMIT')
    })

    for (const chunked of [false, true])
      test(`of 10 MB is refused ${chunked ? 'without' : 'with'} Content-Length`, async () => {
        await using setup = await behind(
          registry.open,
          everyManifest({ status: 200, body: Buffer.alloc(10_000_000), chunked }),
        )
        const error = await failure(setup.source.resolve())
        assert.equal(error.code, 'LIMIT')
        assert.match(error.message, /expected at most 4194304 bytes, the registry sends more/)
      })
  })

  suite('a config', () => {
    test('with a wrong byte is refused', async () => {
      await using setup = await behind(registry.open, everyBlob({ flip: 5 }))
      const error = await failure(setup.source.fetch(registry.config))
      assert.equal(error.code, 'DIGEST_MISMATCH')
    })

    test('of another size is refused', async () => {
      await using setup = await behind(registry.open, () => undefined)
      const error = await failure(setup.source.fetch({ ...registry.config, size: registry.config.size - 1 }))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.match(
        error.message,
        new RegExp(`expected ${registry.config.size - 1} bytes, found ${registry.config.size}`),
      )
    })

    test('said to be huge is not asked for', async () => {
      await using setup = await behind(registry.open, () => undefined)
      assert.equal((await failure(setup.source.fetch({ ...registry.layer, size: 5_000_000 }))).code, 'LIMIT')
      assert.equal(setup.proxy.seen.length, 0)
    })
  })

  test('a registry that refuses HEAD is never asked that way', async () => {
    await using setup = await behind(registry.open, (seen) => (seen.method === 'HEAD' ? { status: 405 } : undefined))
    await setup.source.resolve()
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.deepEqual([...new Set(setup.proxy.seen.map((seen) => seen.method))], ['GET'])
  })
})
