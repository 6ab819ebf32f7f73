import assert from 'node:assert/strict'
import { readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { digestOf } from '../../src/digest.ts'
import type { Code } from '../../src/error.ts'
import { writeConfig } from '../../src/formats/oci/image-config.ts'
import { writeManifest } from '../../src/formats/oci/manifest.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { openStore } from '../../src/store/store.ts'
import { type PullOptions, pull } from '../../src/transfer/pull/pull.ts'
import {
  type ImageOptions,
  type LayoutBuilder,
  type TestEntry,
  directory,
  file,
  hardlink,
  makeImage,
  symlink,
  tarOf,
} from '../fixtures/images.ts'
import { scratch } from '../fixtures/scratch.ts'

/** Every way in which an image can lie: refused with an error that says so, and nothing is left in the store. */

const body = Buffer.alloc(5000, 'content ')
const tar = tarOf([directory('d'), file('d/f', body), file('small', 'x')])

/** Pulls an image that must be refused, and looks at what is left. */
async function refuse(options: ImageOptions, spoil: (image: Spoilable) => void, code: Code, pulled: PullOptions = {}) {
  using place = scratch('hostile')
  using image = makeImage(options)
  spoil(image)
  await using store = await openStore(place.at('store'))
  const attempt = async (): Promise<void> => {
    await using source = await openSource(image.name)
    await pull(store, source, { name: 'app', ...pulled })
  }
  await assert.rejects(attempt, (error: Error) => {
    assert.equal('code' in error && error.code, code, error.stack ?? error.message)
    assert.match(error.message, /^Cannot /)
    return true
  })
  for (const folder of ['refs', 'records', 'layers', 'objects', 'images', 'tmp'])
    assert.deepEqual(readdirSync(place.at('store', folder)), [], `${folder} of the store`)
}

type Spoilable = ReturnType<typeof makeImage>

/** A layout whose one image is built from other parts than makeImage() would take. */
function retag(layout: LayoutBuilder, manifest: Uint8Array): void {
  const descriptor = layout.blob('application/vnd.oci.image.manifest.v1+json', manifest)
  const entry = { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }
  writeFileSync(`${layout.folder}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
}

describe('blobs that are not what their manifest says', () => {
  const layers = [[file('f', body)]]
  const path = ({ layout, layers: [layer] }: Spoilable): string => layout.pathOf(layer?.digest ?? '')

  test('a flipped bit in the middle', () =>
    refuse(
      { layers },
      (image) => {
        const bytes = readFileSync(path(image))
        bytes[bytes.length >> 1]! ^= 1
        writeFileSync(path(image), bytes)
      },
      'DIGEST_MISMATCH',
    ))
  test('one byte short', () =>
    refuse({ layers }, (image) => truncateSync(path(image), (image.layers[0]?.size ?? 1) - 1), 'DIGEST_MISMATCH'))
  test('one byte too many', () =>
    refuse({ layers }, (image) => writeFileSync(path(image), 'x', { flag: 'a' }), 'DIGEST_MISMATCH'))
  test('missing', () =>
    refuse(
      { layers: [[file('f', body)], [file('g', 'x')]] },
      (image) => {
        const [first, second] = image.layers
        const manifest = { ...first!, digest: digestOf('nothing') }
        retag(image.layout, writeManifest({ config: image.config, layers: [manifest, second!] }))
      },
      'NOT_FOUND',
    ))
  test('a symlink to a file of the machine', () =>
    refuse(
      { layers },
      (image) => {
        const secret = digestOf(readFileSync('/etc/hostname'))
        symlinkSync('/etc/hostname', image.layout.pathOf(secret))
        const layer = { ...image.layers[0]!, digest: secret, size: readFileSync('/etc/hostname').length }
        retag(image.layout, writeManifest({ config: image.config, layers: [layer] }))
      },
      'BAD_FORMAT',
    ))
  test('a size in the manifest that lies', () =>
    refuse(
      { layers },
      (image) => {
        const [layer] = image.layers
        retag(image.layout, writeManifest({ config: image.config, layers: [{ ...layer!, size: layer!.size + 1 }] }))
      },
      'DIGEST_MISMATCH',
    ))
})

describe('configs and manifests that lie', () => {
  const platform = { os: 'linux', architecture: 'amd64' }
  const withConfig = (config: (image: Spoilable) => Uint8Array) => (image: Spoilable) => {
    const descriptor = image.layout.blob('application/vnd.oci.image.config.v1+json', config(image))
    retag(image.layout, writeManifest({ config: descriptor, layers: image.layers }))
  }
  const layers = [[file('f', body)]]

  test('a diffID of another layer', () =>
    refuse(
      { layers },
      withConfig(() => writeConfig({ platform, diffIds: [makeImage({ layers: [[file('g', 'x')]] }).diffIds[0]!] })),
      'DIGEST_MISMATCH',
    ))
  test('fewer diffIDs than layers', () =>
    refuse(
      { layers },
      withConfig(() => writeConfig({ platform, diffIds: [] })),
      'BAD_FORMAT',
    ))
  test('a config that is no JSON', () =>
    refuse(
      { layers },
      withConfig(() => Buffer.from('{"os":')),
      'BAD_FORMAT',
    ))
  test('a manifest of the wrong schema', () =>
    refuse(
      { layers },
      (image) => retag(image.layout, Buffer.from('{"schemaVersion":3,"config":{},"layers":[]}')),
      'UNSUPPORTED',
    ))
  test('a manifest of 10 MB', () =>
    refuse(
      { layers },
      (image) => retag(image.layout, Buffer.from(`{"schemaVersion":2,"x":"${'x'.repeat(10_000_000)}"}`)),
      'LIMIT',
    ))
  test('a layer of an unknown media type', () =>
    refuse(
      { layers },
      ({ layout, config, layers: [layer] }) =>
        retag(layout, writeManifest({ config, layers: [{ ...layer!, mediaType: 'application/vnd.example.layer' }] })),
      'UNSUPPORTED',
    ))
  test('an index that contains itself is no way to go on forever', () =>
    refuse(
      { layers },
      ({ layout }) => {
        const self = { mediaType: 'application/vnd.oci.image.index.v1+json', digest: digestOf('self'), size: 4 }
        writeFileSync(layout.pathOf(self.digest), 'self')
        const index = JSON.stringify({ schemaVersion: 2, manifests: [self] })
        retag(layout, Buffer.from(index))
      },
      'BAD_FORMAT',
    ))
})

describe('compressed data that lies', () => {
  test('a gzip trailer that lies about the length', () => {
    const bytes = gzipSync(tar)
    bytes.writeUInt32LE(tar.length + 1, bytes.length - 4)
    return refuse(
      { layers: [tar] },
      (image) => {
        const layer = image.layout.blob(image.layers[0]!.mediaType, bytes)
        retag(image.layout, writeManifest({ config: image.config, layers: [layer] }))
      },
      'BAD_FORMAT',
    )
  })
})

describe('tars that lie', () => {
  const spoilt = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(tar)
    change(bytes)
    return bytes
  }
  const renamed = (name: string): Buffer =>
    spoilt((bytes) => {
      bytes.fill(0, 512, 612)
      bytes.write(name, 512, 'latin1')
      sign(bytes, 512)
    })
  const tars: readonly [name: string, tar: Buffer | readonly TestEntry[], code: Code][] = [
    ['a checksum off by one', spoilt((bytes) => void bytes[148 + 5]!++), 'BAD_FORMAT'],
    ['cut in a header', tar.subarray(0, 700), 'BAD_FORMAT'],
    ['cut in a body', tar.subarray(0, 2000), 'BAD_FORMAT'],
    [
      'a size beyond the end',
      spoilt((bytes) => (bytes.write('77777777777', 512 + 124), sign(bytes, 512))),
      'BAD_FORMAT',
    ],
    ['../ that escapes', renamed('../escape'), 'BAD_FORMAT'],
    ['a/../../ that escapes', renamed('a/../../escape'), 'BAD_FORMAT'],
    ['a hard link to nothing', [hardlink('a', 'nothing')], 'BAD_FORMAT'],
    ['a hard link to a directory', [directory('d'), hardlink('a', 'd')], 'BAD_FORMAT'],
    ['an entry below a file of the same layer', [file('a', 'x'), file('a/b', 'x')], 'BAD_FORMAT'],
    ['an entry below a symlink of the same layer', [symlink('a', '/etc'), file('a/passwd', 'x')], 'BAD_FORMAT'],
    ['a name of 256 bytes', [file('n'.repeat(256), 'x')], 'BAD_FORMAT'],
  ]
  for (const [name, layer, code] of tars) test(name, () => refuse({ layers: [layer] }, () => {}, code))
})

describe('layers that unfold without end', () => {
  const bomb = [file('zeros', Buffer.alloc(20_000_000))]
  for (const compress of ['gzip', 'zstd'] as const)
    test(`${compress}, stopped by the limit on a layer`, () =>
      refuse({ layers: [bomb], compress }, () => {}, 'LIMIT', { limits: { layerBytes: 10_000_000 } }))
  test('too many entries', () =>
    refuse({ layers: [Array.from({ length: 101 }, (_, i) => file(`f${i}`, 'x'))] }, () => {}, 'LIMIT', {
      limits: { layerEntries: 100 },
    }))
})

/** Writes the checksum of the header at `at`. */
function sign(bytes: Buffer, at: number): void {
  bytes.fill(' ', at + 148, at + 156)
  const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148)
}
