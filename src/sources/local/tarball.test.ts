import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type TestCompression, compressed, file, tarOf } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { digestOf } from '../../digest.ts'
import { describeBlob } from '../../formats/oci/descriptor.ts'
import { parseConfig } from '../../formats/oci/image-config.ts'
import { type Manifest, parseManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { openSource } from '../open-source.ts'
import type { Source } from '../source.ts'

const tar = tarOf([file('a', 'hello'), file('.wh.b'), file('big', Buffer.alloc(3_000_000, 'x'))])

async function manifestOf(source: Source): Promise<Manifest> {
  const manifest = parseManifest((await source.resolve()).bytes)
  assert.ok(manifest.kind === 'manifest')
  return manifest
}

describe('tar: makes one layer', () => {
  const kinds: [compression: TestCompression, mediaType: string][] = [
    ['none', mediaTypes.layer],
    ['gzip', mediaTypes.layerGzip],
    ['zstd', mediaTypes.layerZstd],
  ]
  for (const [compression, mediaType] of kinds)
    test(compression, async () => {
      using folder = scratch('tar')
      const bytes = Buffer.from(compressed(tar, compression))
      writeFileSync(folder.at('x:1.tar'), bytes)
      await using source = await openSource(`tar:${folder.at('x:1.tar')}`)
      assert.equal(source.kind, 'plain')
      const manifest = await manifestOf(source)
      const layer = describeBlob(mediaType, bytes)
      assert.deepEqual(manifest.layers, [layer])
      assert.deepEqual(parseConfig(await source.fetch(manifest.config), 1).diffIds, [digestOf(tar)])
      assert.deepEqual(Buffer.concat(await Array.fromAsync(source.blob(layer))), bytes)
      assert.deepEqual(await source.blobFile?.(layer), { path: folder.at('x:1.tar'), offset: 0, length: bytes.length })
    })

  test('of many members and frames', async () => {
    using folder = scratch('tar')
    const half = tar.length >> 1
    for (const compression of ['gzip', 'zstd'] as const) {
      const parts = [tar.subarray(0, half), tar.subarray(half)].map((part) => compressed(part, compression))
      writeFileSync(folder.at('x'), Buffer.concat(parts))
      await using source = await openSource(`tar:${folder.at('x')}`)
      const manifest = await manifestOf(source)
      assert.deepEqual(parseConfig(await source.fetch(manifest.config)).diffIds, [digestOf(tar)])
    }
  })

  test('of standard input', () => {
    using folder = scratch('tar')
    const script = `
      import { openSource } from ${JSON.stringify(new URL('../open-source.ts', import.meta.url))}
      await using source = await openSource('tar:-', { temporary: ${JSON.stringify(folder.path)} })
      process.stdout.write((await source.resolve()).bytes)`
    const node = ['--input-type=module', '--eval', script]
    const manifest = parseManifest(execFileSync(process.execPath, node, { input: compressed(tar, 'gzip') }))
    assert.equal(manifest.kind === 'manifest' && manifest.layers[0]?.digest, digestOf(compressed(tar, 'gzip')))
    assert.deepEqual(readdirSync(folder.path), [])
  })
})

describe('tar: refuses', () => {
  test('what is not there, and what is no file', async () => {
    using folder = scratch('tar')
    await assert.rejects(openSource(`tar:${folder.at('x')}`), { code: 'NOT_FOUND' })
    await assert.rejects(openSource(`tar:${folder.path}`), { code: 'BAD_FORMAT' })
  })

  test('damage and bombs', async () => {
    using folder = scratch('tar')
    writeFileSync(folder.at('x'), compressed(tar, 'gzip').subarray(0, -4))
    await using cut = await openSource(`tar:${folder.at('x')}`)
    await assert.rejects(cut.resolve(), { code: 'BAD_FORMAT' })
    writeFileSync(folder.at('bomb'), compressed(Buffer.alloc(50_000_000), 'zstd'))
    await using bomb = await openSource(`tar:${folder.at('bomb')}`, { maxUnpackedBytes: 1_000_000 })
    await assert.rejects(bomb.resolve(), { code: 'LIMIT', message: /more than 1000000 bytes/ })
  })
})
