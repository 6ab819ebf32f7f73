import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type DiffId, digestOf, parseDiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor, Platform } from './descriptor.ts'
import { writeConfig } from './image-config.ts'
import { writeIndex, writeManifest } from './manifest.ts'
import { mediaTypes } from './media-types.ts'
import { parsePlatform } from './platform.ts'
import { type Document, type FetchDocument, selectAllImages, selectImage } from './select-image.ts'

/** Documents by digest, as a source has them; `fetched` counts what selection asked for. */
class Blobs {
  readonly fetched: string[] = []
  readonly #bytes = new Map<string, Uint8Array>()

  readonly fetch: FetchDocument = async ({ digest }) => {
    this.fetched.push(digest)
    const bytes = this.#bytes.get(digest)
    if (bytes === undefined) throw new OnefoldError('NOT_FOUND', `no blob ${digest}`)
    return bytes
  }

  put(mediaType: string, bytes: Uint8Array, more: Partial<Descriptor> = {}): Descriptor {
    const digest = digestOf(bytes)
    this.#bytes.set(digest, bytes)
    return { mediaType, digest, size: bytes.length, ...more }
  }

  /** An image that differs from others by its platform. */
  image(platform: string, stated = true, layerType: string = mediaTypes.layer): Descriptor {
    const diffIds: DiffId[] = [parseDiffId(digestOf('layer'))]
    const on = parsePlatform(platform)
    const config = this.put(mediaTypes.config, writeConfig({ platform: on, diffIds, run: { user: layerType } }))
    const layers = [{ mediaType: layerType, digest: digestOf('layer'), size: 5 }]
    return this.put(mediaTypes.manifest, writeManifest({ config, layers }), stated ? { platform: on } : {})
  }

  index(...manifests: Descriptor[]): Descriptor {
    return this.put(mediaTypes.index, writeIndex({ manifests }))
  }

  async top(descriptor: Descriptor): Promise<Document> {
    const bytes = await this.fetch(descriptor)
    this.fetched.length = 0
    return { descriptor, bytes }
  }
}

const amd64: Platform = { os: 'linux', architecture: 'amd64' }

describe('selectImage()', () => {
  test('takes a manifest as it is, whatever it runs on', async () => {
    const blobs = new Blobs()
    const top = await blobs.top(blobs.image('linux/s390x'))
    const found = await selectImage(top, amd64, blobs.fetch)
    assert.equal(found.descriptor.digest, top.descriptor.digest)
    assert.deepEqual(found.trail, [top])
    assert.deepEqual(blobs.fetched, [])
  })

  test('takes the best platform and fetches nothing else', async () => {
    const blobs = new Blobs()
    const [i386, v2, plain] = [blobs.image('linux/386'), blobs.image('linux/amd64/v2'), blobs.image('linux/amd64')]
    const top = await blobs.top(blobs.index(i386, v2, plain))
    const found = await selectImage(top, amd64, blobs.fetch)
    assert.equal(found.descriptor.digest, plain.digest)
    assert.deepEqual(
      found.trail.map((document) => document.descriptor.digest),
      [top.descriptor.digest, plain.digest],
    )
    assert.deepEqual(blobs.fetched, [plain.digest])
    assert.equal((await selectImage(top, parsePlatform('linux/amd64/v3'), blobs.fetch)).descriptor.digest, v2.digest)
    assert.equal((await selectImage(top, parsePlatform('linux/386'), blobs.fetch)).descriptor.digest, i386.digest)
  })

  test('finds images in indexes inside indexes', async () => {
    const blobs = new Blobs()
    const wanted = blobs.image('linux/amd64')
    const inner = blobs.index(blobs.image('linux/386'), wanted)
    const top = await blobs.top(blobs.index(blobs.image('linux/arm64'), inner))
    const found = await selectImage(top, amd64, blobs.fetch)
    const trail = [top.descriptor.digest, inner.digest, wanted.digest]
    assert.deepEqual(
      found.trail.map((document) => document.descriptor.digest),
      trail,
    )
  })

  test('asks the configs of entries that tell no platform', async () => {
    const blobs = new Blobs()
    const wanted = blobs.image('linux/amd64', false)
    const top = await blobs.top(blobs.index(blobs.image('linux/arm64', false), blobs.image('linux/386', false), wanted))
    const found = await selectImage(top, amd64, blobs.fetch)
    assert.equal(found.descriptor.digest, wanted.digest)
    assert.deepEqual(found.platform, amd64)
  })

  test('passes over attestations, artifacts and what is neither manifest nor index', async () => {
    const blobs = new Blobs()
    const image = blobs.image('linux/amd64')
    const top = await blobs.top(
      blobs.index(
        { ...image, platform: { os: 'unknown', architecture: 'unknown' }, digest: digestOf('attestation') },
        { ...image, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' }, digest: digestOf('older') },
        { ...image, artifactType: 'application/vnd.amazon.soci.index.v2+json', digest: digestOf('soci') },
        { ...image, mediaType: 'application/vnd.docker.distribution.manifest.v1+json', digest: digestOf('schema 1') },
        chart(blobs),
        image,
      ),
    )
    assert.equal((await selectImage(top, amd64, blobs.fetch)).descriptor.digest, image.digest)
    const all = await selectAllImages(top, blobs.fetch)
    assert.deepEqual(
      all.map(({ descriptor }) => descriptor.digest),
      [image.digest],
    )
  })

  test('says what there is when nothing fits', async () => {
    const blobs = new Blobs()
    const top = await blobs.top(blobs.index(blobs.image('linux/s390x'), blobs.image('linux/arm64')))
    await assert.rejects(selectImage(top, amd64, blobs.fetch), {
      code: 'NOT_FOUND',
      message: 'Cannot find an image for linux/amd64: the index has linux/s390x, linux/arm64',
    })
    await assert.rejects(selectImage(await blobs.top(blobs.index()), amd64, blobs.fetch), { code: 'NOT_FOUND' })
    await assert.rejects(selectAllImages(await blobs.top(blobs.index()), blobs.fetch), { code: 'NOT_FOUND' })
  })

  test('takes the best image, also where nobody can read its layers', async () => {
    const blobs = new Blobs()
    const encrypted = blobs.image('linux/amd64', true, `${mediaTypes.layerGzip}+encrypted`)
    const top = await blobs.top(blobs.index(blobs.image('linux/386'), encrypted))
    assert.equal((await selectImage(top, amd64, blobs.fetch)).descriptor.digest, encrypted.digest)
  })

  test('refuses a manifest that turns out to be an index', async () => {
    const blobs = new Blobs()
    const inner = blobs.index(blobs.image('linux/amd64'))
    const top = await blobs.top(blobs.index({ ...inner, mediaType: mediaTypes.manifest, platform: amd64 }))
    await assert.rejects(selectImage(top, amd64, blobs.fetch), { code: 'BAD_FORMAT', message: /it is an image index/ })
  })
})

describe('the walk through indexes ends', () => {
  test('in a loop', async () => {
    // No hash can make one, but a source that does not verify can.
    const loop: Descriptor = { mediaType: mediaTypes.index, digest: digestOf('loop'), size: 1 }
    const bytes = writeIndex({ manifests: [loop] })
    await assert.rejects(
      selectImage({ descriptor: { ...loop }, bytes }, amd64, async () => bytes),
      { code: 'BAD_FORMAT', message: /contains itself/ },
    )
  })

  test('in the depth', async () => {
    const blobs = new Blobs()
    let top = blobs.index(blobs.image('linux/amd64'))
    for (let depth = 1; depth < 8; depth++) top = blobs.index(top)
    assert.ok(await selectImage(await blobs.top(top), amd64, blobs.fetch))
    const deeper = await blobs.top(blobs.index(top))
    await assert.rejects(selectImage(deeper, amd64, blobs.fetch), { code: 'LIMIT', message: /nested deeper than 8/ })
  })

  test('in the width', async () => {
    const blobs = new Blobs()
    const many = Array.from({ length: 101 }, (_, i) => blobs.index(blobs.image(`linux/amd64/v${i + 2}`)))
    const top = await blobs.top(blobs.index(...many))
    await assert.rejects(selectImage(top, amd64, blobs.fetch), {
      code: 'LIMIT',
      message: /more than 100 further indexes/,
    })
  })
})

test('selectAllImages() gives every image once, in order', async () => {
  const blobs = new Blobs()
  const [a, b] = [blobs.image('linux/amd64'), blobs.image('linux/arm64')]
  const top = await blobs.top(blobs.index(b, blobs.index(a, b), a))
  const all = await selectAllImages(top, blobs.fetch)
  assert.deepEqual(
    all.map(({ descriptor }) => descriptor.digest),
    [b.digest, a.digest],
  )
})

function chart(blobs: Blobs): Descriptor {
  const config = blobs.put('application/vnd.cncf.helm.config.v1+json', Buffer.from('{}'))
  return blobs.put(mediaTypes.manifest, writeManifest({ config, layers: [] }), { platform: amd64 })
}
