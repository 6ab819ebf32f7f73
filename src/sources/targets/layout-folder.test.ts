import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { digestOf } from '../../digest.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { parseIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { openTarget } from './open-target.ts'
import type { Target } from './target.ts'

function open(path: string, image?: string): Promise<Target> {
  return openTarget({ transport: 'oci', path, image })
}

/** Puts a manifest that stands for nothing, and gives it a name. */
async function put(target: Target, text: string, name: string | undefined): Promise<Descriptor> {
  const bytes = Buffer.from(text)
  const descriptor = describeBlob(mediaTypes.manifest, bytes)
  await target.putManifest(descriptor, bytes)
  await target.finish([{ descriptor, name }])
  return descriptor
}

function namesIn(path: string): (string | undefined)[] {
  const { manifests } = parseIndex(readFileSync(`${path}/index.json`), 'index.json')
  return manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'])
}

describe('a layout in a folder', () => {
  test('shows nothing before it is finished, and leaves nothing when it is not', async () => {
    using place = scratch('layout')
    {
      await using target = await open(place.at('out'), 'x')
      const bytes = Buffer.from('a layer')
      const name = await target.addLayer(
        (async function* () {
          yield bytes.subarray(0, 3)
          yield bytes.subarray(3)
        })(),
        bytes.length,
      )
      assert.deepEqual(name, { digest: digestOf(bytes), size: bytes.length })
      assert.equal(existsSync(place.at('out')), false)
    }
    assert.deepEqual(readdirSync(place.path), [])
  })

  test('can be finished again with more', async () => {
    using place = scratch('layout')
    await using target = await open(place.at('out'), 'x')
    const [one, two] = [await put(target, 'one', 'x'), await put(target, 'two', 'y')]
    assert.deepEqual(namesIn(place.at('out')), ['x', 'y'])
    for (const { digest } of [one, two]) assert.ok(existsSync(place.at('out/blobs', digest.replace(':', '/'))))
    await target[Symbol.asyncDispose]()
    assert.deepEqual(readdirSync(place.at('out')).toSorted(), ['blobs', 'index.json', 'oci-layout'])
  })

  test('is added to where it is there', async () => {
    using place = scratch('layout')
    for (const name of ['x', undefined, 'z']) {
      await using target = await open(place.at('out'), name)
      assert.equal(target.name, name)
      await put(target, `manifest ${name}`, name)
    }
    assert.deepEqual(namesIn(place.at('out')), ['x', undefined, 'z'])
  })

  test('takes no folder with something else in it', async () => {
    using place = scratch('layout')
    mkdirSync(place.at('out'))
    writeFileSync(place.at('out/file'), 'x')
    await assert.rejects(open(place.at('out')), { code: 'EXISTS' })
    await assert.rejects(open(place.at('out/file')), { code: 'EXISTS' })
  })
})
