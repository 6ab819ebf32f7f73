import assert from 'node:assert/strict'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, suite, test } from 'node:test'
import { registrySource } from '../../src/sources/registry/registry.ts'
import { openSource } from '../../src/sources/open-source.ts'
import type { Source } from '../../src/sources/source.ts'
import { openStore } from '../../src/store/store.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { indexImage } from '../../src/transfer/index/index-image.ts'
import type { IndexOptions } from '../../src/transfer/index/index-options.ts'
import { type TestCompression, directory, file, makeImage, special, whiteout } from '../fixtures/images.ts'
import { type TestRegistry, needsRegistry, noise, startRegistry } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'
import { vectors, withoutVectors } from '../vectors.ts'

const nobody = { env: { HOME: '/nonexistent' } } as const
const fine: IndexOptions = { spanSize: 64 * 1024, minLayerSize: 0 }

function demoImage(compress: TestCompression): ReturnType<typeof makeImage> {
  const big = Buffer.concat([noise(700_000), Buffer.alloc(900_000, 'text that compresses. ')])
  return makeImage({
    compress,
    layers: [
      [directory('etc'), file('etc/gone', 'x'), file('a', big), special('null', 'char', { major: 1, minor: 3 })],
      [whiteout('etc/gone'), file('b', big.subarray(9)), file('empty')],
    ],
  })
}

/** Pulled by its index alone, an image is the same as pulled whole, and says that it is believed. */
async function assertUsable(open: () => Promise<Source>): Promise<void> {
  using place = scratch('indexed')
  const images: (string | undefined)[] = []
  for (const partial of ['never', 'always'] as const) {
    await using store = await openStore(place.at(partial))
    await using source = await open()
    const {
      images: [image],
      stats,
    } = await pull(store, source, { name: 'app', partial })
    assert.equal(stats.layersByParts, partial === 'always' ? 2 : 0)
    const proofs = store.find('app').record.layers.map(({ proof }) => proof)
    assert.deepEqual(proofs, partial === 'always' ? ['toc-only', 'toc-only'] : ['proven', 'proven'])
    images.push(image?.image)
  }
  assert.equal(images[0], images[1])
}

describe('an index in a layout', () => {
  for (const compress of ['gzip', 'none', 'zstd'] as const)
    test(`serves to pull layers compressed by ${compress}`, async () => {
      using image = demoImage(compress)
      const { images } = await indexImage(image.name, { ...fine, zstd: true })
      assert.deepEqual(
        images.map(({ layers }) => layers.map(({ layer }) => layer)),
        [image.layers.map(({ digest }) => digest)],
      )
      await assertUsable(() => openSource(image.name))
      // Again, everything is there.
      assert.deepEqual(await indexImage(image.name, { ...fine, zstd: true }), { images })
    })

  test('is refused for zstd unless asked for', async () => {
    using image = demoImage('zstd')
    await assert.rejects(indexImage(image.name, fine), { code: 'UNSUPPORTED' })
  })

  test('leaves out small layers', async () => {
    using image = demoImage('gzip')
    const { images } = await indexImage(image.name)
    assert.deepEqual(
      images.map(({ index, layers }) => [index, layers.map(({ table }) => table)]),
      [[undefined, [undefined, undefined]]],
    )
  })

  test('of a damaged layer is not made', async () => {
    using image = demoImage('gzip')
    const path = image.layout.pathOf(image.layers[0]?.digest ?? '')
    const bytes = readFileSync(path)
    bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1
    writeFileSync(path, bytes)
    await assert.rejects(indexImage(image.name, fine), (error: { code?: string }) =>
      ['BAD_FORMAT', 'DIGEST_MISMATCH'].includes(error.code ?? ''),
    )
  })

  test('is what soci 0.15 makes, to the byte', { skip: withoutVectors('one-tree') }, async () => {
    using place = scratch('indexed')
    cpSync(`${vectors('one-tree') ?? ''}/oci`, place.at('layout'), { recursive: true, mode: 0 })
    const { images } = await indexImage(`oci:${place.at('layout')}:gz`, { spanSize: 256 * 1024, minLayerSize: 0 })
    assert.equal(images[0]?.index, 'sha256:8f1197cdf62b706295c5c22031d14d265fa83e8db58eedf78c319280894615af')
  })

  for (const reference of ['rootfs:/etc', 'oci-archive:x.tar'])
    test(`cannot be put beside ${reference}`, async () => {
      await assert.rejects(indexImage(reference), { code: 'USAGE' })
    })
})

suite('an index in a real registry', { skip: needsRegistry }, () => {
  const folder = scratch('indexed')
  let registry: TestRegistry
  before(async () => {
    registry = await startRegistry(folder.at('registry'))
  })
  after(async () => {
    await registry[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('is found under the tag of referrers', async () => {
    using image = demoImage('gzip')
    await registry.push(image.name, 'team/app:1')
    const reference = `docker://${registry.host}/team/app:1`
    const { images } = await indexImage(reference, { ...fine, source: { registry: nobody } })
    assert.equal(images[0]?.image, image.manifest.digest)
    await assertUsable(async () => registrySource(`${registry.host}/team/app:1`, nobody))
  })
})
