import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type ImageOptions, LayoutBuilder, directory, file, makeImage } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type ImageDigest, parseImageDigest, sealKey } from '../../formats/oci/seal-claims.ts'
import { openSource } from '../../sources/open-source.ts'
import { type Store, openStore } from '../../store/store.ts'
import { composefsRsId, storedContents } from './composefs-rs-id.ts'
import { exportImage } from '../send/export-image.ts'
import { type PullOptions, pull } from '../pull/pull.ts'
import { sealStates } from './seal-check.ts'
import { sealImage } from './seal-image.ts'

const label = new Map([['security.selinux', Buffer.from('system_u:object_r:etc_t:s0\0')]])
const layers = [[directory('etc'), file('etc/name', 'x'.repeat(100), { xattrs: label })]]
/** Of the image that these layers make, without and with the label. */
const digest = 'e243acbb72218371867c6bb7988157f71ff6141dcf5f1f21887f8e467c42a6c9'
const labelled = '701cb397720dc58d8530434e3ab1de48dde2ad4b061475dd070d5f0305076592'
const wrong: ImageDigest = { algorithm: 'sha256', hex: '1'.padStart(64, '0') }

async function pullFrom(store: Store, name: string, options: PullOptions = {}): Promise<void> {
  await using source = await openSource(name)
  await pull(store, source, { name: 'app', ...options })
}

/** What is left of a pull in a store. */
function left(store: Store): string[] {
  return ['refs', 'records', 'layers', 'objects', 'images', 'blobs', 'tmp'].flatMap((folder) =>
    readdirSync(`${store.root}/${folder}`),
  )
}

/** Says of an image that it has this digest. */
function claiming(where: 'annotation' | 'label', text: string): ImageOptions {
  const claim = { [sealKey]: text }
  return where === 'annotation' ? { layers, annotations: claim } : { layers, run: { labels: claim } }
}

describe('pull of what is expected', () => {
  test('the digest is that of the image, in any form', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers })
    await using store = await openStore(place.at('store'))
    for (const text of [digest, `sha256:${digest}`])
      await pullFrom(store, image.name, { expectImage: parseImageDigest(text) })
    assert.equal(store.find('app').imageDigest, digest)
  })

  test('another one is refused, and leaves nothing; also of an image that is there', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers })
    await using store = await openStore(place.at('store'))
    const refused = { code: 'DIGEST_MISMATCH', message: new RegExp(`expected .*${wrong.hex}.* make ${digest}`) }
    await assert.rejects(pullFrom(store, image.name, { expectImage: wrong }), refused)
    assert.deepEqual(left(store), [])
    await pullFrom(store, image.name)
    await assert.rejects(pullFrom(store, image.name, { expectImage: wrong }), refused)
  })

  test('labels of layers may be kept although the image was sealed without them, and the other way round', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, image.name, { keepSelinux: true, expectImage: parseImageDigest(digest) })
    assert.equal(store.find('app').imageDigest, labelled)
    await pullFrom(store, image.name, { expectImage: parseImageDigest(labelled) })
    assert.equal(store.find('app').imageDigest, digest)
  })

  test('it may be the id that composefs-rs gives the layers', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers: [[directory('usr', { mtime: 7 }), file('usr/name', 'x'.repeat(100))]] })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, image.name)
    const contents = storedContents(store, store.find('app').record)
    // What cfsctl 0.9 says of these layers.
    const ids = {
      sha256: '9a34b8354b012d6cffe9c2c3e3aea7eeb9232d84de27b834dce2d55bbe9c054a',
      sha512:
        'f74d1845b777ecdbfcbb276346d57b8cb13fa1624f12b3a2ad6caf551e7ed672719240f5b94513b8911f32da0ff3a47cbccc53838fcd7a3d19572fc199eaf263',
    } as const
    await using again = await openStore(place.at('again'))
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const id = await composefsRsId(contents, { algorithm })
      assert.equal(id, ids[algorithm])
      // Once while the objects are still in the transaction, once when they are there.
      await pullFrom(again, image.name, { expectImage: parseImageDigest(id) })
    }
  })

  test('what no image of the layers has is refused', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers })
    await using store = await openStore(place.at('store'))
    const expectImage = parseImageDigest('0'.repeat(128))
    await assert.rejects(pullFrom(store, image.name, { expectImage }), { code: 'DIGEST_MISMATCH' })
    await assert.rejects(pullFrom(store, image.name, { expectImage, allPlatforms: true }), { code: 'USAGE' })
    assert.throws(() => parseImageDigest(digest.toUpperCase()), { code: 'BAD_NAME' })
  })
})

describe('pull of what an image says of itself', () => {
  for (const where of ['annotation', 'label'] as const) {
    test(`a ${where} that is true is accepted, one that is not refused unless it is not minded`, async () => {
      using place = scratch('seal')
      using truthful = makeImage(claiming(where, digest))
      using lying = makeImage(claiming(where, wrong.hex))
      await using store = await openStore(place.at('store'))
      await assert.rejects(pullFrom(store, lying.name), {
        code: 'DIGEST_MISMATCH',
        message: new RegExp(`its ${where} ${sealKey} says`),
        hint: /--ignore-seal/,
      })
      assert.deepEqual(left(store), [])
      await pullFrom(store, lying.name, { ignoreSeal: true })
      await assert.rejects(pullFrom(store, lying.name), { code: 'DIGEST_MISMATCH' })
      await pullFrom(store, truthful.name, { requireSealed: true })
      const { record } = store.find('app')
      assert.deepEqual(await sealStates(store, record), [
        { where, digest: `sha256:${digest}`, verdict: 'agrees', kind: 'composefs' },
      ])
    })

    test(`a ${where} that is no digest is refused`, async () => {
      using place = scratch('seal')
      using image = makeImage(claiming(where, 'deadbeef'))
      await using store = await openStore(place.at('store'))
      await assert.rejects(pullFrom(store, image.name), { code: 'BAD_FORMAT', message: /expected an fs-verity digest/ })
      await pullFrom(store, image.name, { ignoreSeal: true })
    })
  }

  test('an image that says nothing is refused where that is demanded, before its layers are fetched', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers })
    await using store = await openStore(place.at('store'))
    await assert.rejects(pullFrom(store, image.name, { requireSealed: true }), {
      code: 'NOT_FOUND',
      hint: /onefold seal/,
    })
    assert.deepEqual(left(store), [])
  })
})

describe('sealImage()', () => {
  test('changes the manifest alone, and the seal survives an export', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers, annotations: { kept: 'yes' } })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, image.name)
    const sealed = await sealImage(store, 'app', { name: 'app:sealed' })
    const { record } = store.find('app:sealed')
    assert.deepEqual(sealed, {
      name: 'app:sealed',
      top: record.manifest.digest,
      images: [
        { manifest: record.manifest.digest, original: image.manifest.digest, image: digest, platform: 'linux/amd64' },
      ],
    })
    assert.notEqual(record.manifest.digest, image.manifest.digest)
    assert.equal(record.config.digest, image.config.digest)
    const { annotations } = JSON.parse(Buffer.from(store.blob(record.manifest.digest)).toString()) as {
      annotations: object
    }
    assert.deepEqual(annotations, { kept: 'yes', [sealKey]: digest })
    assert.equal(store.find('app').record.manifest.digest, image.manifest.digest)
    await exportImage(store, 'app:sealed', `oci:${place.at('copy')}:latest`)
    await using other = await openStore(place.at('other'))
    await pullFrom(other, `oci:${place.at('copy')}:latest`, { requireSealed: true })
    assert.equal((await store.fsck()).clean, true)
  })

  test('twice is once, and the name moves unless there is another', async () => {
    using place = scratch('seal')
    using image = makeImage({ layers })
    await using store = await openStore(place.at('store'))
    await pullFrom(store, image.name)
    const { top } = await sealImage(store, 'app')
    assert.equal(store.ref('app')?.digest, top)
    assert.equal((await sealImage(store, 'app')).top, top)
    await assert.rejects(sealImage(store, top), { code: 'USAGE' })
  })

  test('an index keeps the platforms that the store has', async () => {
    using place = scratch('seal')
    const layout = new LayoutBuilder(place.at('layout'))
    const platforms = ['amd64', 'arm64', 's390x'].map((architecture) => ({ os: 'linux', architecture }))
    const images = platforms.map((platform) => layout.image({ layers, platform }).manifest)
    layout.tag(layout.index(...images), 'all')
    await using store = await openStore(place.at('store'))
    for (const platform of platforms.slice(0, 2)) await pullFrom(store, `oci:${layout.folder}:all`, { platform })
    const { images: sealed } = await sealImage(store, 'app', { allPlatforms: true })
    assert.deepEqual(
      sealed.map(({ platform }) => platform),
      ['linux/amd64', 'linux/arm64'],
    )
    const index = JSON.parse(Buffer.from(store.blob(store.find('app').top.digest)).toString()) as {
      manifests: { digest: string }[]
    }
    assert.deepEqual(
      index.manifests.map((entry) => entry.digest),
      sealed.map(({ manifest }) => manifest),
    )
  })
})
