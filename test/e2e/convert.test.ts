import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { after, before, describe, suite, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { type Code, hasCode } from '../../src/error.ts'
import { loadWritable } from '../../src/formats/all.ts'
import { type Index, type Manifest, parseArtifact } from '../../src/formats/oci/manifest.ts'
import { formatRecord } from '../../src/store/records/image-record.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { convertImage } from '../../src/transfer/convert/convert-image.ts'
import type { ConvertFormat, ConvertOptions } from '../../src/transfer/convert/convert-options.ts'
import { obtain } from '../../src/transfer/pull/obtain.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { runOnefold } from '../fixtures/command.ts'
import { type TestImage, LayoutBuilder, directory, file, hardlink, makeImage, symlink } from '../fixtures/images.ts'
import { type TestRegistry, needsRegistry, noise, startRegistry } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'
import { file as rawFile, header, pax, trailer } from '../fixtures/tar-bytes.ts'
import { entriesOfTar } from '../fixtures/tar-entries.ts'

const convertFormats = (await loadWritable()).map(({ name }) => name)
const nobody = { env: { HOME: '/nonexistent' } } as const

function demoImage(): TestImage {
  const big = Buffer.concat([noise(300_000), Buffer.alloc(300_000, 'text that compresses. ')])
  return makeImage({
    layers: [
      [directory('etc'), file('etc/passwd', 'root'), file('a', big), symlink('link', 'a')],
      [file('b', big.subarray(9)), directory('bin'), file('bin/sh', noise(900)), hardlink('bin/ash', 'bin/sh')],
    ],
  })
}

function documentAt(layout: string, digest: string): Manifest | Index {
  return parseArtifact(readFileSync(`${layout}/blobs/${digest.replace(':', '/')}`))
}

async function imageDigest(name: string): Promise<string | undefined> {
  using place = scratch('convert')
  await using store = await openStore(place.path)
  return (await obtain(store, name, { partial: 'always' })).record.images.default
}

describe('convertImage()', () => {
  const folder = scratch('convert')
  const image = demoImage()
  let store: Store
  before(async () => {
    store = await openStore(folder.at('store'))
    await obtain(store, image.name)
  })
  after(async () => {
    await store[Symbol.asyncDispose]()
    image[Symbol.dispose]()
    folder[Symbol.dispose]()
  })

  for (const format of convertFormats)
    test(`${format}: the same bytes on any number of threads, and in an archive`, async () => {
      const tops = new Set<string>()
      for (const [threads, place] of [
        [1, `oci:${folder.at(`one-${format}`)}:x`],
        [3, `oci-archive:${folder.at(`${format}.tar`)}:x`],
      ] as const) {
        const options = format === 'soci' ? { minLayerSize: 0 } : {}
        tops.add((await convertImage(store, image.name, format, place, { ...options, threads })).top)
        assert.equal(await imageDigest(place), store.find(image.name).record.images.default)
      }
      assert.equal(tops.size, 1)
    })

  test('prefetched files come first, from the highest layer that has them', async () => {
    const warnings: string[] = []
    const { top } = await convertImage(store, image.name, 'estargz', `oci:${folder.at('first')}:x`, {
      prioritized: ['/bin/ash', 'etc/passwd', 'nowhere'],
      onWarning: (message) => warnings.push(message),
    })
    const manifest = documentAt(folder.at('first'), top)
    assert.ok(manifest.kind === 'manifest')
    const names = manifest.layers.map(({ digest }) => {
      const tar = gunzipSync(readFileSync(folder.at('first/blobs', digest.replace(':', '/'))))
      return entriesOfTar(tar).map(({ path }) => path)
    })
    assert.deepEqual(names, [
      ['etc', 'etc/passwd', '.prefetch.landmark', 'a', 'link', 'stargz.index.json'],
      ['bin', 'bin/sh', 'bin/ash', '.prefetch.landmark', 'b', 'stargz.index.json'],
    ])
    assert.deepEqual(warnings, ['"nowhere" is in none of the layers'])
  })

  test('there and back again: eStargz made of eStargz is the same', async () => {
    const [once, twice] = [`oci:${folder.at('once')}:x`, `oci:${folder.at('twice')}:x`]
    const { top } = await convertImage(store, image.name, 'estargz', once)
    await obtain(store, once, { partial: 'never' })
    assert.equal((await convertImage(store, once, 'estargz', twice)).top, top)
  })

  test('what was said of old bytes is forgotten', async () => {
    const [lazy, plain] = [`oci:${folder.at('lazy')}:x`, `oci:${folder.at('plain')}:x`]
    const said = async (format: ConvertFormat, options: ConvertOptions): Promise<Manifest> => {
      await convertImage(store, image.name, format, lazy, options)
      await using source = await openSource(lazy)
      await pull(store, source, { name: lazy, partial: 'never' })
      const { top } = await convertImage(store, lazy, 'tar+gzip', plain)
      const manifest = documentAt(folder.at('plain'), top)
      assert.ok(manifest.kind === 'manifest')
      return manifest
    }
    for (const format of ['estargz', 'stargz-zstd', 'zstd-chunked'] as const)
      for (const layer of (await said(format, {})).layers) assert.equal(layer.annotations, undefined)
    assert.deepEqual((await said('soci', { minLayerSize: 0 })).annotations, {})
  })

  test('soci compresses anew what its origin does not give, and leaves out small layers', async () => {
    const gone = demoImage()
    await using other = await openStore(folder.at('other'))
    await obtain(other, gone.name)
    gone[Symbol.dispose]()
    const warnings: string[] = []
    const place = `oci:${folder.at('anew')}:x`
    const options: ConvertOptions = { minLayerSize: 320_000, onWarning: (message) => warnings.push(message) }
    const { images } = await convertImage(other, gone.name, 'soci', place, options)
    assert.equal(warnings.length, 2)
    assert.match(warnings[0] ?? '', /compressed anew, its origin does not give it/)
    // Both are below that.
    assert.deepEqual([images[0]?.attached, images[0]?.config], [undefined, gone.config.digest])
    const { images: again } = await convertImage(other, gone.name, 'soci', place, { ...options, minLayerSize: 0 })
    assert.ok(again[0]?.attached !== undefined)
    assert.equal(await imageDigest(place), store.find(image.name).record.images.default)
  })

  test('every platform of an index, with SOCI indexes behind the images', async () => {
    const layout = new LayoutBuilder(folder.at('two'))
    const built = ['amd64', 'arm64'].map((architecture) =>
      layout.image({ layers: [[file(architecture, noise(5000))]], platform: { os: 'linux', architecture } }),
    )
    layout.tag(layout.index(...built.map(({ manifest }) => manifest)), 'x')
    const name = `oci:${layout.folder}:x`
    await obtain(store, name, { allPlatforms: true })
    const options = { allPlatforms: true, minLayerSize: 0 }
    const { top, images } = await convertImage(store, name, 'soci', `oci:${folder.at('two-soci')}:x`, options)
    assert.deepEqual(
      images.map(({ platform, original }) => [platform, original]),
      built.map(({ manifest }, i) => [['linux/amd64', 'linux/arm64'][i], manifest.digest]),
    )
    const index = documentAt(folder.at('two-soci'), top)
    assert.ok(index.kind === 'index')
    assert.deepEqual(
      index.manifests.map(({ digest, platform, artifactType, annotations }) => [
        digest,
        platform?.architecture,
        artifactType,
        Object.values(annotations ?? {})[0],
      ]),
      [
        [images[0]?.manifest, 'amd64', undefined, images[0]?.attached],
        [images[1]?.manifest, 'arm64', undefined, images[1]?.attached],
        [images[0]?.attached, 'amd64', 'application/vnd.amazon.soci.index.v2+json', images[0]?.manifest],
        [images[1]?.attached, 'arm64', 'application/vnd.amazon.soci.index.v2+json', images[1]?.manifest],
      ],
    )
  })

  test('layers that are only believed are refused, with what to do', async () => {
    await using other = await openStore(folder.at('believed'))
    await obtain(other, image.name)
    const { record } = other.find(image.name)
    const path = folder.at('believed/records', record.manifest.digest)
    rmSync(path)
    const layers = record.layers.map((layer) => ({ ...layer, proof: 'toc-only' as const }))
    writeFileSync(path, formatRecord({ ...record, layers }))
    for (const format of convertFormats)
      await assert.rejects(
        convertImage(other, image.name, format, `oci:${folder.at('never')}`),
        (error: { code?: string; hint?: string }) =>
          error.code === 'UNSUPPORTED' && /verify --fetch/.test(error.hint ?? ''),
      )
  })

  const bad: readonly (readonly [ConvertFormat, destination: string, ConvertOptions])[] = [
    ['estargz', 'tar:x', {}],
    ['estargz', 'docker-archive:x', {}],
    ['estargz', `docker://localhost/x@sha256:${'0'.repeat(64)}`, {}],
    ['estargz', 'oci:nameless', { externalToc: true }],
    ['estargz', 'oci:x', { keepDiffId: true }],
    ['estargz', 'oci:x', { level: 10 }],
    ['estargz', 'oci:x', { chunkSize: 100 }],
    ['estargz', 'oci:x', { minChunkSize: -1 }],
    ['estargz', 'oci:x', { spanSize: 1_000_000 }],
    ['stargz-zstd', 'oci:x', { externalToc: true }],
    ['stargz-zstd', 'oci:x', { keepDiffId: true, prioritized: ['a'] }],
    ['stargz-zstd', 'oci:x', { keepDiffId: true, lossy: true }],
    ['zstd-chunked', 'oci:x', { chunkSize: 65_536 }],
    ['zstd-chunked', 'oci:x', { level: 20 }],
    ['soci', 'oci:x', { spanSize: 1 }],
    ['tar', 'oci:x', { level: 1 }],
    ['tar+gzip', 'oci:x', { lossy: true }],
  ]
  for (const [format, destination, options] of bad)
    test(`${format} to ${destination} with ${JSON.stringify(options)} makes no sense`, async () => {
      await assert.rejects(convertImage(store, image.name, format, destination, options), { code: 'USAGE' })
    })
})

/** What a format cannot hold, as the one layer of an image, and the formats that refuse it. */
interface Loss {
  readonly tar: Buffer
  readonly refusedBy: readonly ConvertFormat[]
  /** Those for which --lossy finds something near; default all of them. */
  readonly reducedBy?: readonly ConvertFormat[]
  /** What is in the tree then: names, and times of files. */
  readonly left?: readonly (readonly [path: string, mtime: number, nsec: number])[]
}

const stargz: readonly ConvertFormat[] = ['estargz', 'stargz-zstd']
const tables: readonly ConvertFormat[] = [...stargz, 'zstd-chunked']
const losses: Readonly<Record<string, Loss>> = {
  'a fraction of a second': {
    tar: Buffer.concat([pax({ mtime: '5.75' }), rawFile({ name: 'a' }, 'x'.repeat(100)), trailer]),
    refusedBy: stargz,
    left: [['a', 6, 0]],
  },
  'a name that is no UTF-8': {
    tar: Buffer.concat([rawFile({ name: 'a\xff' }, 'x'), header({ name: 'l', typeflag: '1', link: 'a\xff' }), trailer]),
    refusedBy: tables,
    left: [
      ['a\\xff', 0, 0],
      ['l', 0, 0],
    ],
  },
  'an attribute that Go does not see': {
    tar: Buffer.concat([pax({ 'LIBARCHIVE.xattr.user.x': 'eA==' }), rawFile({ name: 'a' }, 'x'), trailer]),
    refusedBy: tables,
    left: [['a', 0, 0]],
  },
  'a time before the year 0': {
    tar: Buffer.concat([pax({ mtime: '-99999999999' }), rawFile({ name: 'a' }, 'x'), trailer]),
    refusedBy: [...tables, 'soci'],
    left: [['a', -62_167_219_200, 0]],
  },
  'a sparse file': {
    tar: Buffer.concat([
      pax({ 'GNU.sparse.map': '3,1,90,2', 'GNU.sparse.size': '100' }),
      rawFile({ name: 'a' }, 'xyz'),
      rawFile({ name: 'b' }, 'after'),
      trailer,
    ]),
    refusedBy: [...tables, 'soci', 'erofs-tar'],
    reducedBy: [...tables, 'soci'],
    left: [
      ['a', 0, 0],
      ['b', 0, 0],
    ],
  },
  'a name twice': {
    tar: Buffer.concat([rawFile({ name: 'a' }, 'x'), rawFile({ name: './a' }, 'y'), trailer]),
    refusedBy: [...tables, 'erofs-tar'],
    reducedBy: ['erofs-tar'],
    left: [
      ['a', 0, 0],
      ['a', 0, 0],
    ],
  },
  'a name that eStargz keeps for itself': {
    tar: Buffer.concat([rawFile({ name: 'stargz.index.json' }, '{}'), trailer]),
    refusedBy: stargz,
    reducedBy: [],
  },
}

describe('what a format cannot hold', () => {
  for (const [name, { tar, refusedBy, reducedBy = refusedBy, left }] of Object.entries(losses))
    test(`${name} is refused by ${refusedBy.join(', ')}`, async () => {
      using image = makeImage({ layers: [tar] })
      using place = scratch('losses')
      await using store = await openStore(place.at('store'))
      const { record } = await obtain(store, image.name)
      for (const format of convertFormats) {
        const to = `oci:${place.at(format)}:x`
        const options = format === 'soci' ? { minLayerSize: 0 } : {}
        const plain = codeOf(convertImage(store, image.name, format, to, options))
        assert.equal(await plain, refusedBy.includes(format) ? 'UNSUPPORTED' : undefined, format)
        if (!refusedBy.includes(format)) {
          assert.equal(await imageDigest(to), record.images.default)
          continue
        }
        const warnings: string[] = []
        const onWarning = (message: string): void => void warnings.push(message)
        const lossy = convertImage(store, image.name, format, to, { ...options, lossy: true, onWarning })
        assert.equal(await codeOf(lossy), reducedBy.includes(format) ? undefined : 'UNSUPPORTED', format)
        if (!reducedBy.includes(format)) continue
        assert.ok(warnings.length > 0)
        await assertOneTree(to, format === 'soci' ? undefined : left)
      }
    })
})

async function codeOf(work: Promise<unknown>): Promise<Code | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    const codes: readonly Code[] = ['UNSUPPORTED', 'USAGE']
    const code = codes.find((each) => hasCode(error, each))
    if (code === undefined) throw error
    return code
  }
}

/** Whole and by parts the same, and with these names. */
async function assertOneTree(name: string, left: Loss['left']): Promise<void> {
  using place = scratch('losses')
  await using whole = await openStore(place.at('whole'))
  const { record, imageDigest: digest } = await obtain(whole, name, { partial: 'never' })
  assert.equal(await imageDigest(name), digest)
  if (left === undefined) return
  const tar = Buffer.concat([...whole.rebuildTar(record.layers[0]!.recipe)].map((bytes) => Buffer.from(bytes)))
  const entries = entriesOfTar(tar).filter(({ path }) => !/^(?:\.no\.prefetch|stargz\.)/.test(path))
  assert.deepEqual(
    entries.map(({ path, mtime, mtimeNsec }) => [path, mtime, mtimeNsec]),
    left,
  )
}

suite('into a real registry', { skip: needsRegistry }, () => {
  const folder = scratch('convert')
  let registry: TestRegistry
  before(async () => {
    registry = await startRegistry(folder.at('registry'))
  })
  after(async () => {
    await registry[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('with tables of their own, which a pull by parts finds', async () => {
    using image = demoImage()
    await using store = await openStore(folder.at('store'))
    const { imageDigest: want } = await obtain(store, image.name)
    const to = `docker://${registry.host}/team/app:1`
    await convertImage(store, image.name, 'estargz', to, { externalToc: true, source: { registry: nobody } })
    await using other = await openStore(folder.at('other'))
    const { imageDigest: got, record } = await obtain(other, to, { partial: 'always', source: { registry: nobody } })
    assert.equal(got, want)
    assert.deepEqual(
      record.layers.map(({ proof, toc }) => [proof, toc?.format]),
      Array.from({ length: 2 }, () => ['toc-only', 'estargz']),
    )
  })

  test('and from one, by the command', () => {
    using image = demoImage()
    const to = `docker://${registry.host}/team/soci:1`
    const args = ['--store', folder.at('command'), 'convert', image.name, '--to', 'soci', '--min-layer-size', '0', to]
    const { code, out, err } = runOnefold(args, { more: { HOME: '/nonexistent' } })
    assert.equal(code, 0, err)
    const again = runOnefold([
      '--store',
      folder.at('command'),
      'convert',
      '--json',
      to,
      '--to',
      'tar',
      `oci:${folder.at('tar')}`,
    ])
    assert.equal(again.code, 0, again.err)
    const { images } = JSON.parse(again.out) as { images: { layers: { digest: string; diffId: string }[] }[] }
    assert.deepEqual(
      images[0]?.layers.map(({ digest, diffId }) => [digest, diffId]),
      image.diffIds.map((diffId) => [diffId, diffId]),
    )
    assert.match(out, /^sha256:[0-9a-f]{64}\n$/)
  })
})

describe('onefold convert', () => {
  const wrong: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['x'], /takes an IMAGE and a DEST/],
    [['x', 'oci:y'], /--to is one of/],
    [['x', 'oci:y', '--to', 'zip'], /--to is one of/],
    [['x', 'oci:y', '--to', 'estargz', '--level', 'x'], /--level is NaN/],
    [['x', 'oci:y', '--to', 'estargz', '--keep-diff-id'], /goes with --external-toc/],
    [['x', 'oci:y', '--to', 'estargz', '--prioritized', '/nonexistent/list'], /Cannot read the list of paths/],
  ]
  test('ends when it refuses an image, with the file that is in the way', () => {
    const tar = Buffer.concat([pax({ mtime: '5.25' }), rawFile({ name: 'etc/motd' }, noise(9000)), trailer])
    using image = makeImage({ layers: [tar] })
    using place = scratch('refused')
    const { code, err } = runOnefold([
      '--store',
      place.at('store'),
      'convert',
      image.name,
      '--to',
      'estargz',
      `oci:${place.at('x')}`,
    ])
    assert.equal(code, 1)
    assert.match(err, /Cannot list "etc\/motd" in a table of contents: the format cannot hold a fraction of a second/)
    assert.match(err, /--lossy/)
    assert.equal(existsSync(place.at('x')), false)
  })

  for (const [args, message] of wrong)
    test(`says what is wrong with ${args.join(' ')}`, () => {
      const { code, err } = runOnefold(['convert', ...args])
      assert.notEqual(code, 0)
      assert.match(err, message)
    })
})
