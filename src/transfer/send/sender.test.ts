import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { LayoutBuilder, file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type DiffId, digestOf, parseDiffId } from '../../digest.ts'
import type { AttachedArtifact } from '../../formats/format.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { type Index, type Manifest, parseArtifact, writeIndex, writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import type { Artifact } from '../../sources/source.ts'
import type { BlobName, Target } from '../../sources/targets/target.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import { type Store, openStore } from '../../store/store.ts'
import { obtain } from '../pull/obtain.ts'
import type { LayerPlan, LayerStrategy } from './layer-strategy.ts'
import { Sender } from './sender.ts'

/** Keeps what it is given, in order. */
class MemoryTarget implements Target {
  readonly name = 'x'
  readonly given: Descriptor[] = []
  readonly documents = new Map<string, Uint8Array>()
  /** How many manifests it refuses for blobs that it says it lacks. */
  refusals = 0

  async addLayer(chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    const bytes = Buffer.concat(await Array.fromAsync(chunks))
    const blob = describeBlob('layer', bytes)
    this.given.push(blob)
    return blob
  }

  async putBlob(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    assert.equal(digestOf(bytes), descriptor.digest)
    this.given.push(descriptor)
  }

  async putManifest(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    if (this.refusals-- > 0) throw new Error('blobs are missing')
    this.documents.set(descriptor.digest, bytes)
    await this.putBlob(descriptor, bytes)
  }

  doubts(error: unknown): boolean {
    return error instanceof Error && error.message === 'blobs are missing'
  }

  async finish(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}

  document({ digest }: Descriptor): Manifest | Index {
    return parseArtifact(this.documents.get(digest) ?? Buffer.alloc(0))
  }

  /** How often each layer was given. */
  get layers(): number {
    return this.given.filter(({ mediaType }) => mediaType === 'layer').length
  }
}

type Become = (layer: LayerRecord) => { readonly bytes: Uint8Array; readonly diffId: DiffId }

function strategy(keepsDocuments: boolean, become: Become, more: Partial<LayerStrategy> = {}): LayerStrategy {
  return {
    keepsDocuments,
    plan: ({ layers }) =>
      layers.map((layer): LayerPlan => ({
        key: layer.diffId,
        send: async (target) => {
          const { bytes, diffId } = become(layer)
          const { digest, size } = await target.addLayer(
            (async function* () {
              yield bytes
            })(),
            bytes.length,
          )
          return { blob: { mediaType: mediaTypes.layer, digest, size }, diffId }
        },
      })),
    ...more,
    async [Symbol.asyncDispose]() {},
  }
}

describe('a sender', () => {
  const folder = scratch('sender')
  const layout = new LayoutBuilder(folder.at('layout'))
  const images = ['amd64', 'arm64'].map((architecture) =>
    layout.image({
      compress: 'none',
      layers: [[file('shared', 'x'.repeat(1000))], [file(architecture, 'y'.repeat(1000))]],
      platform: { os: 'linux', architecture },
    }),
  )
  const [first = { manifest: { digest: digestOf('') } }] = images
  // One of them stands in the index twice.
  const entries = [...images, ...images.slice(0, 1)].map(({ manifest }) => manifest)
  const top = layout.index(...entries)
  const name = `oci:${layout.folder}:x`
  let store: Store

  before(async () => {
    layout.tag(top, 'x')
    store = await openStore(folder.at('store'))
    await obtain(store, name, { allPlatforms: true })
  })
  after(async () => {
    await store[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  const platform = { os: 'linux', architecture: 'amd64' }
  const asItWas: Become = ({ recipe, diffId }) => ({
    bytes: Buffer.concat([...store.rebuildTar(recipe)].map((bytes) => Buffer.from(bytes))),
    diffId,
  })
  const other: Become = ({ diffId }) => ({ bytes: Buffer.from(`other ${diffId}`), diffId: otherDiffId(diffId) })
  const otherDiffId = (diffId: DiffId): DiffId => parseDiffId(digestOf(`other ${diffId}`))

  test('sends an image once that an index lists twice, and a layer once that images share', async () => {
    const target = new MemoryTarget()
    const sender = new Sender(store, target, strategy(true, asItWas), { allPlatforms: true })
    assert.deepEqual((await sender.send(store.find(name, { platform }))).digest, top.digest)
    assert.equal(target.layers, 3)
    assert.deepEqual(
      sender.sent.map(({ manifest, record }) => [manifest, record.manifest.digest]),
      images.map(({ manifest }) => [manifest.digest, manifest.digest]),
    )
    assert.deepEqual(target.document(top), parseArtifact(store.blob(top.digest)))
  })

  test('writes documents anew where layers are others, or always', async () => {
    for (const [keepsDocuments, become] of [
      [true, other],
      [false, asItWas],
    ] as const) {
      const target = new MemoryTarget()
      const sender = new Sender(store, target, strategy(keepsDocuments, become), { allPlatforms: true })
      const sent = await sender.send(store.find(name, { platform }))
      const index = target.document(sent)
      assert.ok(index.kind === 'index')
      assert.deepEqual(
        index.manifests.map(({ digest }) => digest),
        [0, 1, 0].map((i) => sender.sent[i]?.manifest),
      )
      const [image] = sender.sent
      assert.ok(image !== undefined)
      assert.equal(image.config === image.record.config.digest, become === asItWas)
    }
  })

  test('gives everything once more to a target that lacks what it said it had', async () => {
    const target = new MemoryTarget()
    target.refusals = 1
    const sender = new Sender(store, target, strategy(true, asItWas), {})
    assert.equal((await sender.send(store.find(name, { platform }))).digest, first.manifest.digest)
    assert.equal(target.layers, 4)
    assert.equal(sender.sent.length, 1)
    target.refusals = 2
    const again = new Sender(store, target, strategy(true, asItWas), {})
    await assert.rejects(again.send(store.find(name, { platform })), /blobs are missing/)
  })

  test('sends what goes with an image, and lists it beside the image; and what goes beside all of them', async () => {
    const bytes = Buffer.from('a table')
    const blob = describeBlob('table', bytes)
    const config = describeBlob(mediaTypes.config, Buffer.from('{}'))
    const manifest = writeManifest({ config, layers: [blob] })
    const blobs = [{ descriptor: blob, bytes }]
    const target = new MemoryTarget()
    const more: Partial<LayerStrategy> = {
      addition: () => ({
        blobs,
        manifest,
        annotations: { table: blob.digest },
        listed: (artifact, image) => ({ ...artifact, annotations: { of: image.digest }, artifactType: 'tables' }),
      }),
      companion: (layers) => ({ suffix: `-${layers.length}`, blobs, manifest }),
    }
    const sender = new Sender(store, target, strategy(false, other, more), {})
    const index = target.document(await sender.send(store.find(name, { platform })))
    assert.ok(index.kind === 'index')
    const [image, listed] = index.manifests
    assert.ok(image !== undefined && listed !== undefined)
    assert.deepEqual({ ...image.annotations }, { table: blob.digest })
    assert.deepEqual({ ...target.document(image).annotations }, { table: blob.digest })
    assert.deepEqual(
      [image.platform, listed.artifactType, { ...listed.annotations }],
      [platform, 'tables', { of: image.digest }],
    )
    assert.equal(sender.sent[0]?.attached, listed.digest)
    const companion = await sender.sendCompanion()
    assert.deepEqual([companion?.descriptor.digest, companion?.name], [digestOf(manifest), 'x-2'])
  })

  describe('of what refers to an image', () => {
    const bytes = Buffer.from('an index')
    const blob = describeBlob('index', bytes)
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, artifactType: 'indexes' }))
    const artifact = describeBlob(mediaTypes.manifest, manifest)
    const attach = (image: Descriptor, layers: readonly unknown[]): AttachedArtifact => ({
      blobs: [{ descriptor: blob, bytes }],
      manifest,
      listed: { artifactType: 'indexes', annotations: { of: image.digest, layers: String(layers.length) } },
    })
    const signature = { ...describeBlob(mediaTypes.manifest, Buffer.from('{}')), artifactType: 'signature' }
    const older = { ...describeBlob(mediaTypes.manifest, Buffer.from('[]')), artifactType: 'indexes' }

    async function sendTo(target: MemoryTarget, known: readonly Descriptor[] | undefined): Promise<Sender> {
      const list = known && writeIndex({ manifests: known })
      const readReferrers = async (): Promise<Artifact | undefined> =>
        list && { descriptor: describeBlob(mediaTypes.index, list), bytes: list }
      const sender = new Sender(store, target, strategy(false, other, { attach }), { readReferrers })
      await sender.send(store.find(name, { platform }))
      return sender
    }

    function listedBy(sender: Sender, target: MemoryTarget): unknown {
      const [list] = sender.referrers
      assert.ok(list !== undefined)
      assert.equal(list.name, sender.sent[0]?.manifest.replace(':', '-'))
      const index = target.document(list.descriptor)
      return index.kind === 'index' && index.manifests.map(({ digest, artifactType }) => [digest, artifactType])
    }

    test('sends it, and makes the list by which it is found', async () => {
      const target = new MemoryTarget()
      const sender = await sendTo(target, undefined)
      assert.equal(sender.sent[0]?.attached, artifact.digest)
      assert.ok(target.given.includes(blob))
      assert.deepEqual(listedBy(sender, target), [[artifact.digest, 'indexes']])
    })

    test('keeps what refers to the image already, but for others of its kind', async () => {
      const target = new MemoryTarget()
      const sender = await sendTo(target, [signature, older])
      assert.deepEqual(listedBy(sender, target), [
        [artifact.digest, 'indexes'],
        [signature.digest, 'signature'],
      ])
    })

    test('makes no list where there is one', async () => {
      const target = new MemoryTarget()
      assert.deepEqual((await sendTo(target, [{ ...artifact, artifactType: 'indexes' }])).referrers, [])
    })
  })

  test('keeps the digest of an index only where the store has all of its images', async () => {
    await using part = await openStore(folder.at('part'))
    await obtain(part, name, { platform })
    const sender = (options: object): Sender =>
      new Sender(part, new MemoryTarget(), strategy(true, asItWas), { allPlatforms: true, ...options })
    await assert.rejects(sender({ preserveDigests: true }).send(part.find(name)), { code: 'UNSUPPORTED' })
    assert.notEqual((await sender({}).send(part.find(name))).digest, top.digest)
  })
})
