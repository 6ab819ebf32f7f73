import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LayoutBuilder, file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { openSource } from '../../sources/open-source.ts'
import { selectImages } from './select-images.ts'

test('an image whose layers nobody can read is refused, rather than another one taken', async () => {
  using place = scratch('select')
  const layout = new LayoutBuilder(place.path)
  const [here, there] = ['amd64', 'arm64'].map((architecture) =>
    layout.image({ layers: [[file('a', 'x')]], platform: { os: 'linux', architecture } }),
  )
  assert.ok(here !== undefined && there !== undefined)
  const layers = here.layers.map((layer) => ({ ...layer, mediaType: `${mediaTypes.layerGzip}+encrypted` }))
  const encrypted = layout.blob(mediaTypes.manifest, writeManifest({ config: here.config, layers }))
  layout.tag(layout.index({ ...encrypted, platform: { os: 'linux', architecture: 'amd64' } }, there.manifest), 'x')
  await using source = await openSource(`oci:${layout.folder}:x`)
  const top = await source.resolve()
  const wanted = (architecture: string): Promise<unknown> =>
    selectImages(source, top, { platform: { os: 'linux', architecture } })
  await assert.rejects(wanted('amd64'), { code: 'UNSUPPORTED', message: /it is encrypted/ })
  await assert.rejects(selectImages(source, top, { allPlatforms: true }), { code: 'UNSUPPORTED' })
  const [image] = await selectImages(source, top, { platform: { os: 'linux', architecture: 'arm64' } })
  assert.equal(image?.descriptor.digest, there.manifest.digest)
})
