import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LayoutBuilder, type TestEntry, directory, file, hardlink } from '../../../test/fixtures/images.ts'
import { noise } from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type TocKind, tocImage } from '../../../test/fixtures/toc-images.ts'
import { digestOf } from '../../digest.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { openSource } from '../../sources/open-source.ts'
import { openContents } from '../../store/index/held-contents.ts'
import { type Store, openStore } from '../../store/store.ts'
import { type PullResult, pull } from '../pull/pull.ts'

const tiny = Buffer.from('kept in the recipe')
const entries: readonly TestEntry[] = [directory('etc'), file('etc/tiny', tiny), file('large', noise(200_000))]

async function pullByParts(store: Store, layout: LayoutBuilder, tag: string): Promise<PullResult> {
  await using source = await openSource(`oci:${layout.folder}:${tag}`)
  return await pull(store, source, { name: tag, partial: 'always' })
}

/** The same image with other annotations on its one layer. */
function annotated(layout: LayoutBuilder, config: Descriptor, layer: Descriptor, more: Record<string, string>): void {
  const annotations = { ...layer.annotations, ...more }
  const manifest = writeManifest({ config, layers: [{ ...layer, annotations }] })
  layout.tag(layout.blob(mediaTypes.manifest, manifest), 'annotated')
}

describe('what comes by parts', () => {
  for (const kind of ['zstd-chunked', 'estargz'] as const satisfies readonly TocKind[])
    test(`cannot be left out of the tree where it does not fit (${kind})`, async () => {
      using place = scratch('trust')
      const layout = new LayoutBuilder(place.at('layout'))
      const { manifest } = await tocImage(layout, kind, [entries, [hardlink('link', 'nowhere')]])
      layout.tag(manifest, 'app')
      await using store = await openStore(place.at('store'))
      await assert.rejects(pullByParts(store, layout, 'app'), { code: 'BAD_FORMAT', message: /link/ })
      assert.deepEqual(store.refs(), [])
    })

  for (const kind of ['zstd-chunked', 'estargz'] as const satisfies readonly TocKind[])
    test(`is right although the index is not (${kind})`, async () => {
      using place = scratch('trust')
      const layout = new LayoutBuilder(place.at('layout'))
      const old = layout.image({ layers: [[file('other', noise(200_000, 2))]] })
      layout.tag(old.manifest, 'old')
      const { manifest } = await tocImage(layout, kind, [entries])
      layout.tag(manifest, 'app')
      await using whole = await openStore(place.at('whole'))
      const want = await pullByParts(whole, layout, 'app')
      await using store = await openStore(place.at('store'))
      await pullByParts(store, layout, 'old')
      {
        using contents = await openContents(store.root)
        const found = await contents.files(new Map([[digestOf(noise(200_000, 2)), 200_000]]), { hold: () => {} })
        const [file] = found.values()
        assert.ok(file?.kind === 'object')
        contents.learn([[digestOf(noise(200_000)), file.object, 200_000]])
      }
      const got = await pullByParts(store, layout, 'app')
      assert.equal(got.images[0]?.image, want.images[0]?.image)
      // The parts did not fit, so the layer came whole.
      assert.deepEqual([got.stats.layersByParts, want.stats.layersByParts], [0, 1])
    })
})

describe('annotations of a layer', () => {
  test('that are no digests bind nothing, and the layer comes whole', async () => {
    using place = scratch('trust')
    const layout = new LayoutBuilder(place.at('layout'))
    const { manifest, layers } = await tocImage(layout, 'estargz', [entries])
    layout.tag(manifest, 'app')
    const config = await configOf(layout)
    annotated(layout, config, layers[0]!, { 'containerd.io/snapshot/stargz/toc.digest': 'md5:none' })
    await using store = await openStore(place.at('store'))
    const { stats } = await pullByParts(store, layout, 'annotated')
    assert.deepEqual([stats.layersPulled, stats.layersByParts], [1, 0])
    assert.equal(store.find('annotated').record.layers[0]?.proof, 'proven')
  })

  test('that bind two tables are refused', async () => {
    using place = scratch('trust')
    const layout = new LayoutBuilder(place.at('layout'))
    const { manifest, layers } = await tocImage(layout, 'zstd-chunked', [entries])
    layout.tag(manifest, 'app')
    const config = await configOf(layout)
    const second = { 'containerd.io/snapshot/stargz/toc.digest': digestOf('another table') }
    annotated(layout, config, layers[0]!, second)
    await using store = await openStore(place.at('store'))
    await using source = await openSource(`oci:${layout.folder}:annotated`)
    await assert.rejects(pull(store, source), { code: 'BAD_FORMAT', message: /two formats/ })
  })
})

async function configOf(layout: LayoutBuilder): Promise<Descriptor> {
  await using source = await openSource(`oci:${layout.folder}:app`)
  const { bytes } = await source.resolve()
  return (JSON.parse(Buffer.from(bytes).toString()) as { config: Descriptor }).config
}
