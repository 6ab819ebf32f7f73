import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { after, before, describe, suite, test } from 'node:test'
import { type Fault, startFaultProxy } from '../../../test/servers/fault-proxy.ts'
import { type Faults, ann, behind } from '../../../test/servers/faulty-registry.ts'
import { LayoutBuilder, type TestEntry, directory, file, hardlink, symlink } from '../../../test/fixtures/images.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import {
  type TestRegistry,
  needsRegistry,
  noise,
  startRegistry,
  startTokenServer,
} from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type TocKind, tocImage } from '../../../test/fixtures/toc-images.ts'
import { digestOf, parseVerityDigest } from '../../digest.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { openContents } from '../../store/index/held-contents.ts'
import { type Store, openStore } from '../../store/store.ts'
import { planPull } from '../pull/plan-pull.ts'
import { type PullOptions, type PullResult, pull } from '../pull/pull.ts'

const kinds: readonly TocKind[] = ['zstd-chunked', 'estargz', 'stargz-zstd']
const large = noise(2_000_000)
/** With bytes put in, which moves all that follows; chunks of one size would not be found again. */
const moved = Buffer.concat([large.subarray(0, 900_000), noise(5000, 2), large.subarray(900_000)])
const changed = Buffer.concat([large.subarray(0, 900_000), noise(5000, 2), large.subarray(905_000)])

function version(program: Uint8Array, news: string): TestEntry[] {
  return [
    directory('usr'),
    directory('usr/bin'),
    file('usr/bin/program', program, { mode: 0o755 }),
    hardlink('usr/bin/alias', 'usr/bin/program'),
    symlink('usr/bin/link', 'program'),
    file('usr/empty'),
    file('usr/tiny', 'in the recipe'),
    file('usr/news', news.repeat(20)),
    ...Array.from({ length: 50 }, (_, i) => file(`usr/file${i}`, noise(3000, 100 + i))),
    file('usr/holes', Buffer.concat([noise(5000, 3), Buffer.alloc(300_000), noise(5000, 4)])),
  ]
}

interface Published {
  readonly registry: TestRegistry
  readonly layers: ReadonlyMap<string, readonly Descriptor[]>
}

suite('a new version of an image', { skip: needsRegistry }, () => {
  const folder = scratch('partial')
  const published: Partial<Published> = {}
  before(async () => {
    const layout = new LayoutBuilder(folder.at('layout'))
    const layers = new Map<string, readonly Descriptor[]>()
    const plain = layout.image({ layers: [version(large, 'old')] })
    layout.tag(plain.manifest, 'v1')
    for (const kind of kinds) {
      const image = await tocImage(layout, kind, [
        version(kind === 'zstd-chunked' ? moved : changed, 'new'),
        [file('top', noise(20_000, 5))],
      ])
      layout.tag(image.manifest, kind)
      layers.set(kind, image.layers)
    }
    const registry = await startRegistry(folder.at('registry'))
    for (const name of ['v1', ...kinds]) await registry.push(`oci:${layout.folder}:${name}`, `app:${name}`)
    Object.assign(published, { registry, layers })
  })
  after(async () => {
    await published.registry?.[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  /** A store with version 1. */
  async function oldStore(path: string): Promise<Store> {
    const prepared = folder.at('old')
    if (!existsSync(prepared)) {
      await using store = await openStore(prepared)
      await pullFrom(store, 'v1')
    }
    cpSync(prepared, path, { recursive: true })
    return await openStore(path)
  }

  async function pullFrom(
    store: Store,
    tag: string,
    options: PullOptions = {},
    faults: Faults = () => undefined,
  ): Promise<{ result: PullResult; asked: string[]; bytes: number }> {
    assert.ok(published.registry)
    await using setup = await behind(published.registry, faults, { name: `app:${tag}`, stallTimeout: 2000 })
    const result = await pull(store, setup.source, { name: tag, ...options })
    return { result, asked: setup.ranges(), bytes: result.stats.blobBytes }
  }

  const wholeImages = new Map<TocKind, string | undefined>()
  async function wholeImage(kind: TocKind): Promise<string | undefined> {
    if (!wholeImages.has(kind)) {
      await using store = await openStore(folder.at(`whole-${kind}`))
      const { result } = await pullFrom(store, kind, { partial: 'never' })
      wholeImages.set(kind, result.images[0]?.image)
    }
    return wholeImages.get(kind)
  }

  for (const kind of kinds)
    describe(kind, () => {
      test('is fetched by parts beside the old one, and is the same image', async () => {
        using place = scratch('parts')
        await using store = await oldStore(place.at('store'))
        const { result, asked, bytes } = await pullFrom(store, kind)
        assert.equal(result.images[0]?.image, await wholeImage(kind))
        assert.equal(result.stats.layersByParts, 1)
        const [blob] = published.layers?.get(kind) ?? []
        assert.ok(blob !== undefined && bytes < blob.size * 0.5, `${bytes} of ${blob?.size} bytes`)
        assert.ok(asked.every((range) => range !== '-' || asked.indexOf(range) === 0))
        const proofs = store.find(kind).record.layers.map(({ proof }) => proof)
        assert.deepEqual(proofs, [kind === 'zstd-chunked' ? 'proven' : 'toc-only', 'proven'])
        assert.deepEqual((await store.fsck()).damage, [])
      })

      test('is planned as it is then fetched', async () => {
        using place = scratch('parts')
        await using store = await oldStore(place.at('store'))
        assert.ok(published.registry)
        await using setup = await behind(published.registry, () => undefined, { name: `app:${kind}` })
        const { total, images } = await planPull(store, setup.source)
        assert.deepEqual(
          images[0]?.layers.map(({ how }) => how),
          ['parts', 'whole'],
        )
        assert.ok(total.fileBytes > 150_000 && total.chunkBytes > 800_000, JSON.stringify(total))
        const { bytes, asked } = await pullFrom(store, kind)
        assert.equal(total.fetchBytes, bytes)
        // The config is the one blob more.
        assert.equal(total.requests, asked.length - 1)
      })
    })

  describe('when something goes wrong on the way', () => {
    const kind = 'zstd-chunked'
    const isRange = (seen: Parameters<Faults>[0]): boolean => /^bytes=\d+-\d+$/.test(seen.headers.range ?? '')
    /** Faults for the nth range of the large layer, the table's being the first. */
    const nth = (n: number, fault: Fault): Faults => {
      let count = 0
      return (seen) => (isRange(seen) && count++ === n ? fault : undefined)
    }
    const healed: readonly [name: string, faults: Faults, byParts: number][] = [
      ['a connection that breaks', nth(1, { truncate: 1000 }), 1],
      ['a registry that is busy', nth(1, { status: 503 }), 1],
      ['no ranges at all', (seen) => (isRange(seen) ? { noRange: true } : undefined), 0],
      ['no ranges after the table', (seen) => (isRange(seen) && seen.before > 0 ? { noRange: true } : undefined), 0],
      ['a range refused', nth(1, { status: 416 }), 0],
      ['other bytes than the chunk', nth(1, { flip: 100 }), 0],
      ['a table that is another', nth(0, { flip: 100 }), 0],
    ]
    for (const [name, faults, byParts] of healed)
      test(`${name}: the image is the same`, async () => {
        using place = scratch('parts')
        await using store = await oldStore(place.at('store'))
        const { result } = await pullFrom(store, kind, {}, faults)
        assert.equal(result.images[0]?.image, await wholeImage(kind))
        assert.equal(result.stats.layersByParts, byParts)
        assert.ok(store.find(kind).record.layers.every(({ proof }) => proof === 'proven'))
        assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
      })

    test('a redirect that expires again and again: the image is the same', async () => {
      using place = scratch('parts')
      await using store = await oldStore(place.at('store'))
      assert.ok(published.registry)
      let asked = 0
      // Where the registry keeps its blobs: every second address is no longer good when it is used.
      const blobs = await startFaultProxy(
        published.registry.host,
        () => (asked++ % 2 === 1 ? { status: 403, body: 'expired' } : undefined),
        { address: '127.0.0.2' },
      )
      await using _blobs = blobs
      const redirect: Faults = (seen) =>
        isRange(seen)
          ? { status: 307, headers: { location: `${blobs.url}${seen.path}?signature=${seen.before}` } }
          : undefined
      const { result } = await pullFrom(store, kind, {}, redirect)
      assert.equal(result.images[0]?.image, await wholeImage(kind))
      assert.equal(result.stats.layersByParts, 1)
      assert.ok(asked > 2)
    })

    test('a token that expires: the image is the same', { skip: needsPrograms('openssl') }, async () => {
      using place = scratch('parts')
      const layout = folder.at('layout')
      const users = { [ann.username]: ann.password }
      await using tokens = await startTokenServer(place.at('tokens'), users)
      await using guarded = await startRegistry(place.at('registry'), { auth: tokens, users })
      await guarded.push(`oci:${layout}:${kind}`, `app:${kind}`)
      await using store = await oldStore(place.at('store'))
      const { realm, service } = tokens
      const challenge = `Bearer realm="${realm}",service="${service}",scope="repository:app:pull"`
      const expired = nth(1, { status: 401, headers: { 'www-authenticate': challenge } })
      await using setup = await behind(guarded, expired, { name: `app:${kind}`, credentials: ann })
      const before = tokens.asked.length
      const { stats, images } = await pull(store, setup.source, { name: kind })
      assert.equal(tokens.asked.length - before, 2)
      assert.equal(stats.layersByParts, 1)
      assert.equal(images[0]?.image, await wholeImage(kind))
    })

    test('a blob that was replaced is refused, and nothing is left', async () => {
      using place = scratch('parts')
      await using store = await oldStore(place.at('store'))
      const { digest = '' } = published.layers?.get(kind)?.[0] ?? {}
      const faults: Faults = (seen) => {
        if (!seen.path.endsWith(digest)) return undefined
        return isRange(seen) && seen.before === 0 ? undefined : { flip: 100 }
      }
      await assert.rejects(pullFrom(store, kind, {}, faults), { code: 'DIGEST_MISMATCH' })
      assert.deepEqual(store.refs(), ['v1'])
      assert.deepEqual(readdirSync(place.at('store/tmp')), [])
    })
  })

  describe('with an index that lies', () => {
    test('about a file: the proof shows it, the layer comes whole, and the row is gone', async () => {
      using place = scratch('parts')
      await using store = await oldStore(place.at('store'))
      await pullFrom(store, 'estargz')
      const objects = objectsOf(place.at('store'))
      const news = digestOf(Buffer.from('new'.repeat(20)))
      assert.equal(objects.length > 50, true)
      {
        using contents = await openContents(place.at('store'))
        const [first] = objects.filter(({ size }) => size === 3000)
        assert.ok(first)
        const other = digestOf(noise(3000, 100 + 1))
        contents.learn([[other, first.digest, 3000]])
        assert.notEqual(news, other)
      }
      const { result } = await pullFrom(store, 'zstd-chunked')
      assert.equal(result.images[0]?.image, await wholeImage('zstd-chunked'))
    })

    test('or is no database at all', async () => {
      using place = scratch('parts')
      await using store = await oldStore(place.at('store'))
      writeFileSync(place.at('store/index.db'), noise(10_000))
      const { result } = await pullFrom(store, 'zstd-chunked')
      assert.equal(result.stats.layersByParts, 1)
      rmSync(place.at('store/index.db'))
      assert.deepEqual((await store.fsck()).damage, [])
    })
  })
})

function objectsOf(store: string): { digest: ReturnType<typeof parseVerityDigest>; size: number }[] {
  return readdirSync(`${store}/objects`).flatMap((folder) =>
    readdirSync(`${store}/objects/${folder}`).map((name) => ({ digest: parseVerityDigest(folder + name), size: 3000 })),
  )
}
