import assert from 'node:assert/strict'
import { readdirSync, renameSync } from 'node:fs'
import { describe, test } from 'node:test'
import {
  LayoutBuilder,
  directory,
  file,
  hardlink,
  makeImage,
  symlink,
  tarOf,
  whiteout,
} from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { readTree } from '../../library/reading.ts'
import { treeToJson } from '../../image/tree-json.ts'
import { inodeOf } from '../../formats/tree.ts'
import { openSource } from '../../sources/open-source.ts'
import type { Source } from '../../sources/source.ts'
import { type Store, openStore } from '../../store/store.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { digestOf } from '../../digest.ts'
import { obtain } from './obtain.ts'
import { type PullEvent } from '../progress.ts'
import { type PullOptions, type PullResult, pull } from './pull.ts'

const big = Buffer.alloc(100_000, 'a file that needs an object of its own. ')

function pullFrom(store: Store, name: string, options: PullOptions = {}): Promise<PullResult> {
  return openSource(name).then(async (source) => {
    await using opened = source
    return pull(store, opened, options)
  })
}

async function pathsOf(store: Store, name: string): Promise<string[]> {
  return [...treeToJson(await readTree(store, name))].map(({ path }) => (typeof path === 'string' ? path : path.hex))
}

describe('pull', () => {
  for (const compress of ['none', 'gzip', 'zstd'] as const)
    test(`brings in an image with ${compress} layers`, async () => {
      using place = scratch('pull')
      using image = makeImage({
        compress,
        layers: [
          [directory('etc'), file('etc/small', 'inline'), file('etc/gone', 'x'), file('big', big)],
          [whiteout('etc/gone'), hardlink('etc/same', 'big'), symlink('link', 'etc/small')],
        ],
      })
      await using store = await openStore(place.at('store'))
      const result = await pullFrom(store, image.name)
      assert.equal(result.name, image.name)
      assert.equal(result.top, image.manifest.digest)
      assert.deepEqual(await pathsOf(store, image.name), ['/', '/big', '/etc', '/etc/same', '/etc/small', '/link'])
      const { record } = store.find(image.name)
      assert.deepEqual(
        record.layers.map(({ blob, diffId, kind, proof }) => ({ blob: blob.digest, diffId, kind, proof })),
        image.layers.map(({ digest }, i) => ({
          blob: digest,
          diffId: image.diffIds[i],
          kind: 'layer',
          proof: 'proven',
        })),
      )
      assert.equal(record.images.default, result.images[0]?.image)
      assert.deepEqual(readdirSync(place.at('store/tmp')), [])
    })

  test('stores layers so that their tar can be built again bit for bit', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', 'inline'), file('b', big), directory('c')]] })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, image.name, { name: 'app' })
    const pieces: Uint8Array[] = []
    const [layer] = store.find('app').record.layers
    assert.ok(layer)
    for (const piece of readRecipe(store.recipe(layer.recipe)).rebuild())
      if (piece instanceof Uint8Array) pieces.push(piece.slice())
      else for await (const bytes of store.readObject(piece.object, piece)) pieces.push(bytes)
    assert.equal(digestOf(Buffer.concat(pieces)), layer.diffId)
  })

  test('writes a file that two images share once', async () => {
    using place = scratch('pull')
    using first = makeImage({ layers: [[file('a', big), file('same', big)]] })
    using second = makeImage({ layers: [[file('b', big), file('other', big.subarray(1))]] })
    await using store = await openStore(place.at('store'))
    const one = await pullFrom(store, first.name)
    const two = await pullFrom(store, second.name)
    assert.deepEqual([one.stats.newObjects, one.stats.newBytes], [1, big.length])
    assert.deepEqual([two.stats.newObjects, two.stats.newBytes], [1, big.length - 1])
  })

  test('asks for nothing but the manifest when the image is there', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', big)]] })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, image.name)
    await using source = await openSource(image.name)
    const onlyResolve: Source = {
      name: 'again',
      kind: source.kind,
      resolve: (options) => source.resolve(options),
      fetch: () => assert.fail('a document was fetched'),
      blob: () => assert.fail('a blob was fetched'),
      [Symbol.asyncDispose]: async () => {},
    }
    const { stats } = await pull(store, onlyResolve)
    assert.deepEqual([stats.layersPulled, stats.layersPresent], [0, 1])
    assert.deepEqual(store.refs(), ['again', image.name])
  })

  test('does without a layer that a collection took aside between its look-up and its use', async () => {
    using place = scratch('pull')
    const base = [file('base', big)]
    using first = makeImage({ layers: [base] })
    using second = makeImage({ layers: [base, [file('more', 'x')]] })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, first.name)
    const [recipe = ''] = readdirSync(place.at('store/layers'))
    const begin = store.begin.bind(store)
    let attempts = 0
    store.begin = async () => {
      const transaction = await begin()
      const find = transaction.findLayer.bind(transaction)
      transaction.findLayer = async (want) => {
        const layer = await find(want)
        if (layer !== undefined && attempts++ === 0) renameSync(place.at('store/layers', recipe), place.at('aside'))
        return layer
      }
      return transaction
    }
    const { stats } = await pullFrom(store, second.name, { name: 'second' })
    assert.deepEqual([stats.layersPulled, stats.layersPresent, attempts], [2, 0, 1])
    assert.deepEqual(await pathsOf(store, 'second'), ['/', '/base', '/more'])
  })

  test('imports a layer that another image brought only once, whatever its compression', async () => {
    using place = scratch('pull')
    const base = [file('base', big)]
    using first = makeImage({ layers: [base], compress: 'gzip' })
    using second = makeImage({ layers: [base, [file('more', 'x')]], compress: 'zstd' })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, first.name)
    const { stats } = await pullFrom(store, second.name)
    assert.deepEqual([stats.layersPulled, stats.layersPresent], [1, 1])
    assert.equal(store.find(second.name).record.layers[0]?.blob.digest, second.layers[0]?.digest)
  })

  test('takes an image whose layers are all the same layer', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', big)], [file('a', big)], []] })
    await using store = await openStore(place.at('store'))
    assert.equal((await pullFrom(store, image.name)).stats.layersPulled, 2)
    assert.deepEqual(await pathsOf(store, image.name), ['/', '/a'])
  })

  test('chooses the platform, or takes all of them', async () => {
    using place = scratch('pull')
    const layout = new LayoutBuilder(place.at('layout'))
    const images = ['amd64', 'arm64', 's390x'].map((architecture) =>
      layout.image({ platform: { os: 'linux', architecture }, layers: [[file(architecture, architecture)]] }),
    )
    layout.tag(layout.index(...images.map(({ manifest }) => manifest)), 'multi')
    const name = `oci:${place.at('layout')}:multi`
    await using store = await openStore(place.at('store'))
    await pullFrom(store, name, { name: 'one', platform: { os: 'linux', architecture: 'arm64' } })
    assert.deepEqual(await pathsOf(store, 'one'), ['/', '/arm64'])
    const all = await pullFrom(store, name, { name: 'all', allPlatforms: true })
    assert.deepEqual(
      all.images.map(({ platform }) => platform),
      ['linux/amd64', 'linux/arm64', 'linux/s390x'],
    )
    await assert.rejects(pullFrom(store, name, { platform: { os: 'linux', architecture: 'riscv64' } }), {
      code: 'NOT_FOUND',
    })
  })

  test('takes an image that stands alone, but not for another platform than was asked for', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', 'x')]] })
    await using store = await openStore(place.at('store'))
    const platform = { os: 'linux', architecture: 'riscv64' }
    await assert.rejects(pullFrom(store, image.name, { platform }), { code: 'NOT_FOUND' })
    await pullFrom(store, image.name)
    await assert.rejects(pullFrom(store, image.name, { platform }), { code: 'NOT_FOUND' }, 'also when it is there')
  })

  test('says which layer is bad', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', 'x')], Buffer.from('no tar '.repeat(100))] })
    await using store = await openStore(place.at('store'))
    const digest = image.layers[1]?.digest ?? ''
    await assert.rejects(pullFrom(store, image.name), (error: Error) => error.message.includes(digest))
  })

  test('stops when it is told to, and leaves nothing behind', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', big)]] })
    await using store = await openStore(place.at('store'))
    const controller = new AbortController()
    const onProgress = (event: PullEvent): void => {
      if (event.type === 'layer') controller.abort()
    }
    await assert.rejects(pullFrom(store, image.name, { signal: controller.signal, onProgress }), { name: 'AbortError' })
    assert.deepEqual([store.refs(), readdirSync(place.at('store/tmp'))], [[], []])
  })

  test('tells how it goes on', async () => {
    using place = scratch('pull')
    using image = makeImage({ layers: [[file('a', big)]] })
    await using store = await openStore(place.at('store'))
    const steps: string[] = []
    const layers: PullEvent[] = []
    await pullFrom(store, image.name, {
      onProgress: (event) => void (event.type === 'step' ? steps.push(event.step) : layers.push(event)),
    })
    assert.deepEqual(steps, ['resolving', 'pulling', 'composing image', 'making durable'])
    const { digest, size } = image.layers[0]!
    assert.deepEqual(layers[0], { type: 'layer', digest, size, done: 0, finished: false })
    assert.deepEqual(layers.at(-1), { type: 'layer', digest, size, done: size, finished: true })
  })

  test('keeps whiteout names of plain trees as data', async () => {
    using place = scratch('pull')
    await using store = await openStore(place.at('store'))
    const { writeFileSync } = await import('node:fs')
    writeFileSync(place.at('tree.tar'), tarOf([directory('d'), file('d/.wh.x', 'data')]))
    await pullFrom(store, `tar:${place.at('tree.tar')}`, { name: 'tree' })
    assert.deepEqual(await pathsOf(store, 'tree'), ['/', '/d', '/d/.wh.x'])
    assert.equal(store.find('tree').record.layers[0]?.kind, 'plain')
  })

  test('keeps SELinux labels when asked to, and composes again when asked otherwise', async () => {
    using place = scratch('pull')
    const xattrs = new Map([['security.selinux', Buffer.from('system_u:object_r:etc_t:s0\0')]])
    using image = makeImage({ layers: [[file('labelled', big, { xattrs })]] })
    await using store = await openStore(place.at('store'))
    const labels = async (): Promise<number> =>
      inodeOf((await readTree(store, 'app')).children.get('labelled')!).xattrs.size
    await pullFrom(store, image.name, { name: 'app' })
    assert.equal(await labels(), 0)
    await pullFrom(store, image.name, { name: 'app', keepSelinux: true })
    assert.equal(await labels(), 1)
  })
})

test('obtain() takes what is there and pulls what is not', async () => {
  using place = scratch('obtain')
  using image = makeImage({ layers: [[file('a', big)]] })
  await using store = await openStore(place.at('store'))
  const pulled = await obtain(store, image.name)
  assert.deepEqual(pulled.names, [image.name])
  const digest = image.manifest.digest
  assert.equal((await obtain(store, digest.slice(0, 7 + 12))).record.manifest.digest, digest)
  await assert.rejects(obtain(store, `sha256:${'0'.repeat(64)}`), { code: 'NOT_FOUND' })
})

test(
  'one tree has one image, in whatever encoding it is pulled whole',
  { skip: withoutVectors('one-tree') },
  async () => {
    using place = scratch('one-tree')
    await using store = await openStore(place.at('store'))
    const encodings = ['gz', 'skopeo-gzip', 'skopeo-zstd', 'skopeo-zstd-chunked', 'estargz', 'estargz-chunk64k']
    encodings.push('estargz-min512k', 'estargz-ext', 'estargz-ext-keepdiff', 'stargz-zstdchunked', 'soci2')
    const digests = new Set<string | undefined>()
    for (const tag of encodings) {
      const { images, stats } = await pullFrom(store, `oci:${vectors('one-tree')}/oci:${tag}`)
      digests.add(images[0]?.image)
      if (tag.startsWith('skopeo')) assert.equal(stats.layersPulled, 0, `${tag} has the diffIDs of gz`)
    }
    assert.deepEqual([...digests], ['622a15cc284c7435f7807b245834c02eee32565dd182eb8ff2e81719632d47ca'])
    await assert.rejects(pullFrom(store, `oci:${vectors('one-tree')}/oci:erofs-native`), { code: 'UNSUPPORTED' })
  },
)
