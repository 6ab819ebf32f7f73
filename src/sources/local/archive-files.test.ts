import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import {
  type TestEntry,
  compressed,
  directory,
  file,
  hardlink,
  makeImage,
  symlink,
  tarOf,
  whiteout,
} from '../../../test/fixtures/images.ts'
import { needsPrograms, needsRoot } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { digestOf, parseDiffId } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import { writeConfig } from '../../formats/oci/image-config.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { selectImage } from '../../formats/oci/select-image.ts'
import { openSource } from '../open-source.ts'
import type { SourceOptions } from '../source-options.ts'

const amd64 = { os: 'linux', architecture: 'amd64' }
const layers = [
  [directory('etc'), file('etc/motd', 'hello')],
  [whiteout('etc/motd'), file('big', Buffer.alloc(100_000, 'x'))],
]
const tars = layers.map(tarOf)
const diffIds = tars.map((tar) => parseDiffId(digestOf(tar)))
const config = writeConfig({ platform: amd64, diffIds })

interface Opened {
  readonly manifest: string
  readonly types: readonly string[]
  readonly blobs: readonly Buffer[]
}

/** Opens a source and reads all of it, also as ranges of files, checking every digest. */
async function readAll(text: string, options: SourceOptions = {}): Promise<Opened> {
  await using source = await openSource(text, options)
  const image = await selectImage(await source.resolve(), amd64, (descriptor) => source.fetch(descriptor))
  await source.fetch(image.manifest.config)
  const blobs: Buffer[] = []
  for (const layer of image.manifest.layers) {
    const bytes = Buffer.concat(await Array.fromAsync(source.blob(layer)))
    assert.equal(digestOf(bytes), layer.digest)
    const range = await source.blobFile?.(layer)
    assert.ok(range !== undefined)
    assert.deepEqual(readFileSync(range.path).subarray(range.offset, range.offset + range.length), bytes)
    blobs.push(bytes)
  }
  return { manifest: image.descriptor.digest, types: image.manifest.layers.map(({ mediaType }) => mediaType), blobs }
}

const manifestOf = (...items: object[]): TestEntry => file('manifest.json', JSON.stringify(items))
const saved = { Config: 'config.json', RepoTags: ['app:1'], Layers: ['1/layer.tar', '2/layer.tar'] }
const members = [
  file('config.json', config),
  directory('1'),
  file('1/layer.tar', tars[0]),
  directory('2'),
  file('2/layer.tar', tars[1]),
]

describe('docker-archive: reads', () => {
  const archives: [name: string, entries: TestEntry[], types: string[]][] = [
    ['what docker save wrote', [...members, manifestOf(saved)], [mediaTypes.layer, mediaTypes.layer]],
    ['an archive with its manifest in front', [manifestOf(saved), ...members], [mediaTypes.layer, mediaTypes.layer]],
    [
      'names with dots and slashes in front',
      [...members, manifestOf({ ...saved, Layers: ['./1/layer.tar', '/2//layer.tar'] })],
      [mediaTypes.layer, mediaTypes.layer],
    ],
    [
      'links from layer to layer, as docker save made them for equal ones',
      [
        file('config.json', config),
        symlink('1/layer.tar', '../x/layer.tar'),
        file('x/layer.tar', tars[0]),
        hardlink('2/layer.tar', 'y/layer.tar'),
        symlink('y/layer.tar', '/z'),
        file('z', tars[1]),
        manifestOf(saved),
      ],
      [mediaTypes.layer, mediaTypes.layer],
    ],
    [
      'compressed layers, whatever their names say',
      [
        file('config.json', config),
        file('1/layer.tar', compressed(tars[0]!, 'gzip')),
        file('2/layer.tar', compressed(tars[1]!, 'zstd')),
        manifestOf(saved),
      ],
      [mediaTypes.layerGzip, mediaTypes.layerZstd],
    ],
    [
      'what Docker 25 wrote: a layout with a manifest.json that names its blobs',
      [
        ...blobsOf(config, ...tars.map((tar) => compressed(tar, 'gzip'))),
        manifestOf({
          Config: blobName(config),
          RepoTags: ['app:1'],
          Layers: tars.map((tar) => blobName(compressed(tar, 'gzip'))),
          LayerSources: {},
        }),
        file('oci-layout', '{"imageLayoutVersion":"1.0.0"}'),
        file('index.json', '{"schemaVersion":2,"manifests":[]}'),
      ],
      [mediaTypes.layerGzip, mediaTypes.layerGzip],
    ],
    [
      'the last of two members of the same name',
      [file('config.json', '{}'), file('1/layer.tar', 'x'), ...members, manifestOf(saved)],
      [mediaTypes.layer, mediaTypes.layer],
    ],
  ]
  for (const [name, entries, types] of archives)
    test(name, async () => {
      using folder = scratch('archive')
      writeFileSync(folder.at('x.tar'), tarOf(entries))
      const opened = await readAll(`docker-archive:${folder.at('x.tar')}`)
      assert.deepEqual(opened.types, types)
    })

  test('archives that are compressed as a whole, and leaves nothing behind', async () => {
    using folder = scratch('archive')
    const tar = tarOf([...members, manifestOf(saved)])
    const manifests = new Set<string>()
    for (const compression of ['none', 'gzip', 'zstd'] as const) {
      const path = folder.at(compression)
      writeFileSync(path, compressed(tar, compression))
      const opened = await readAll(`docker-archive:${path}:app:1`, { temporary: folder.path })
      manifests.add(opened.manifest)
    }
    assert.equal(manifests.size, 1)
    assert.deepEqual(readdirSync(folder.path).toSorted(), ['gzip', 'none', 'zstd'])
  })

  test('the same manifest from the same archive', async () => {
    using folder = scratch('archive')
    writeFileSync(folder.at('x.tar'), tarOf([...members, manifestOf(saved)]))
    const { manifest } = await readAll(`docker-archive:${folder.at('x.tar')}`)
    assert.equal(manifest, 'sha256:a90ae951f13d3efb66b558c217ab14797b14f71b77725054fcb432046433d044')
  })
})

test('docker-archive: chooses by name or position', async () => {
  using folder = scratch('archive')
  const single = { ...saved, Layers: ['1/layer.tar'], Config: 'single.json' }
  const untagged = { ...single, RepoTags: null }
  const path = folder.at('x.tar')
  const one = file('single.json', writeConfig({ platform: amd64, diffIds: diffIds.slice(0, 1) }))
  writeFileSync(
    path,
    tarOf([one, ...members, manifestOf(saved, { ...single, RepoTags: ['docker.io/library/b:2', '!'] }, untagged)]),
  )
  const layersOf = async (suffix: string): Promise<number> =>
    (await readAll(`docker-archive:${path}${suffix}`)).types.length
  assert.equal(await layersOf(':app:1'), 2)
  assert.equal(await layersOf(':docker.io/library/app:1'), 2)
  assert.equal(await layersOf(':b:2'), 1)
  assert.equal(await layersOf(':@0'), 2)
  assert.equal(await layersOf(':@2'), 1)
  await assert.rejects(layersOf(''), {
    code: 'BAD_NAME',
    message: /holds 3, with "app:1", "docker.io\/library\/b:2", "!"/,
  })
  await assert.rejects(layersOf(':app'), {
    code: 'NOT_FOUND',
    message: /"docker.io\/library\/app:latest".*it holds "app:1"/,
  })
  await assert.rejects(layersOf(':@3'), { code: 'NOT_FOUND', message: /image @3/ })
})

describe('an archive is refused', () => {
  const tar = tarOf([...members, manifestOf(saved)])
  const refused: [name: string, bytes: Uint8Array, code: Code, message: RegExp, options?: SourceOptions][] = [
    ['that is empty', Buffer.alloc(0), 'BAD_FORMAT', /no file "manifest.json"/],
    ['that is no tar', Buffer.alloc(1024, 'x'), 'BAD_FORMAT', /checksum/],
    ['that is cut short in a header', tar.subarray(0, 700), 'BAD_FORMAT', /cut short/],
    ['that is cut short in a body', tar.subarray(0, 4000), 'BAD_FORMAT', /cut short/],
    ['whose compression is cut short', compressed(tar, 'gzip').subarray(0, -9), 'BAD_FORMAT', /gzip/],
    ['whose last frame is cut short', compressed(tar, 'zstd').subarray(0, -9), 'BAD_FORMAT', /zstd/],
    [
      'that unfolds to too much',
      compressed(tar, 'gzip'),
      'LIMIT',
      /more than 100000 bytes/,
      { maxUnpackedBytes: 100_000 },
    ],
    ['without manifest.json', tarOf(members), 'BAD_FORMAT', /no file "manifest.json"/],
    ['of a Docker before 1.10', tarOf([...members, file('repositories', '{}')]), 'UNSUPPORTED', /before 1.10/],
    ['whose manifest.json is no list', tarOf([file('manifest.json', '{}')]), 'BAD_FORMAT', /expected a list/],
    ['whose manifest.json is 10 MB', tarOf([file('manifest.json', ' '.repeat(10_000_000))]), 'LIMIT', /10000000 bytes/],
    ['without images', tarOf([manifestOf()]), 'NOT_FOUND', /it holds no images/],
    ['without its config', tarOf([manifestOf(saved)]), 'NOT_FOUND', /"config.json".*manifest.json names it/],
    ['without a layer', tarOf([members[0]!, manifestOf(saved)]), 'NOT_FOUND', /"1\/layer.tar"/],
    [
      'whose layer is a directory',
      tarOf([members[0]!, directory('1/layer.tar'), manifestOf(saved)]),
      'BAD_FORMAT',
      /it is a directory/,
    ],
    [
      'whose layer is a loop of links',
      tarOf([members[0]!, symlink('1/layer.tar', 'b'), symlink('1/b', 'layer.tar'), manifestOf(saved)]),
      'BAD_FORMAT',
      /more than 8 links/,
    ],
    [
      'whose layer links out of it',
      tarOf([members[0]!, symlink('1/layer.tar', '../../etc/passwd'), manifestOf(saved)]),
      'NOT_FOUND',
      /"1\/layer.tar"/,
    ],
    [
      'whose layer name leads out of it',
      tarOf([members[0]!, manifestOf({ ...saved, Layers: ['../x', '2/layer.tar'] })]),
      'BAD_FORMAT',
      /leads out of its tree/,
    ],
    [
      'with more layers than diffIDs',
      tarOf([...members, manifestOf({ ...saved, Layers: ['1/layer.tar'] })]),
      'BAD_FORMAT',
      /2 diff_ids/,
    ],
  ]
  for (const [name, bytes, code, message, options] of refused)
    test(name, async () => {
      using folder = scratch('archive')
      writeFileSync(folder.at('x.tar'), bytes)
      await assert.rejects(readAll(`docker-archive:${folder.at('x.tar')}`, { temporary: folder.path, ...options }), {
        code,
        message,
      })
      assert.deepEqual(readdirSync(folder.path), ['x.tar'])
    })

  test('that is not there, or no file', async () => {
    await assert.rejects(readAll('docker-archive:/nowhere.tar'), { code: 'NOT_FOUND' })
    await assert.rejects(readAll('oci-archive:/dev/null'), { code: 'BAD_FORMAT', message: /no regular file/ })
    await assert.rejects(readAll('oci-archive:/'), { code: 'BAD_FORMAT', message: /no regular file/ })
  })

  test('that cannot be unpacked, because there is no room for it', async () => {
    using folder = scratch('archive')
    writeFileSync(folder.at('x.tar.gz'), compressed(tar, 'gzip'))
    await assert.rejects(readAll(`docker-archive:${folder.at('x.tar.gz')}`, { temporary: '/nowhere' }), {
      code: 'IO',
      message: 'Cannot make a temporary file in "/nowhere": ENOENT',
      hint: 'Set TMPDIR to a directory with room.',
    })
  })

  test('cut short at any byte, or with any byte changed, but never with another error', async () => {
    using folder = scratch('archive')
    const small = tarOf([file('config.json', config), file('manifest.json', '[]')])
    const read = async (bytes: Uint8Array): Promise<void> => {
      writeFileSync(folder.at('x.tar'), bytes)
      const error: unknown = await readAll(`docker-archive:${folder.at('x.tar')}`).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      assert.ok(
        ['BAD_FORMAT', 'NOT_FOUND', 'LIMIT', 'UNSUPPORTED'].some((code) => hasCode(error, code as Code)),
        String(error),
      )
    }
    for (let length = 0; length < small.length - 1024; length += 37) await read(small.subarray(0, length))
    for (let at = 0; at < 600; at += 7) await read(flip(small, at))
  })
})

test('a layer that is not what its config says is found by whoever reads it', async () => {
  using folder = scratch('archive')
  const swapped = [
    file('config.json', config),
    file('1/layer.tar', tars[1]),
    file('2/layer.tar', tars[1]),
    manifestOf(saved),
  ]
  writeFileSync(folder.at('x.tar'), tarOf(swapped))
  await assert.rejects(readAll(`docker-archive:${folder.at('x.tar')}`), { name: 'AssertionError' })
})

describe('archives that skopeo writes are read', { skip: needsPrograms('skopeo') }, () => {
  test('docker-archive:, oci-archive: and dir: give the image that went in', async () => {
    using image = makeImage({ layers, run: { cmd: ['sh'] } })
    using folder = scratch('peer')
    const copy = (target: string): void => void execFileSync('skopeo', ['copy', '-q', image.name, target])
    const blobs = image.layers.map(({ digest }) => readFileSync(image.layout.pathOf(digest)))

    copy(`oci-archive:${folder.at('oci.tar')}:v1`)
    for (const name of [`oci-archive:${folder.at('oci.tar')}`, `oci-archive:${folder.at('oci.tar')}:v1`]) {
      const opened = await readAll(name)
      assert.equal(opened.manifest, image.manifest.digest)
      assert.deepEqual(opened.blobs, blobs)
    }
    copy(`dir:${folder.at('dir')}`)
    const fromDir = await readAll(`dir:${folder.at('dir')}`)
    assert.equal(fromDir.manifest, image.manifest.digest)
    assert.deepEqual(fromDir.blobs, blobs)

    copy(`docker-archive:${folder.at('docker.tar')}:app:v1`)
    const fromDocker = await readAll(`docker-archive:${folder.at('docker.tar')}:app:v1`)
    assert.deepEqual(fromDocker.blobs, tars)
  })

  test('dir: also with an index and its manifests', async () => {
    using folder = scratch('peer')
    using image = makeImage({ layers })
    const { layout } = image
    const arm64 = layout.image({ layers, platform: { os: 'linux', architecture: 'arm64' }, run: { user: 'x' } })
    layout.tag(layout.index(arm64.manifest, image.manifest), 'multi')
    execFileSync('skopeo', ['copy', '-q', '--all', `oci:${layout.folder}:multi`, `dir:${folder.at('dir')}`])
    assert.equal((await readAll(`dir:${folder.at('dir')}`)).manifest, image.manifest.digest)
  })
})

test('what podman saves is read', { skip: needsRoot || needsPrograms('podman', 'skopeo') }, async () => {
  using image = makeImage({ layers })
  using folder = scratch('peer')
  const storage = ['--root', folder.at('root'), '--runroot', folder.at('run'), '--storage-driver', 'vfs']
  const podman = (...args: string[]): void => void execFileSync('podman', [...storage, ...args], { stdio: 'pipe' })
  execFileSync('skopeo', ['copy', '-q', image.name, `docker-archive:${folder.at('in.tar')}:localhost/app:v1`])
  podman('load', '-q', '-i', folder.at('in.tar'))
  podman('save', '-q', '--format', 'docker-archive', '-o', folder.at('docker.tar'), 'localhost/app:v1')
  podman('save', '-q', '--format', 'oci-archive', '-o', folder.at('oci.tar'), 'localhost/app:v1')
  assert.deepEqual((await readAll(`docker-archive:${folder.at('docker.tar')}:localhost/app:v1`)).blobs, tars)
  assert.equal((await readAll(`oci-archive:${folder.at('oci.tar')}`)).types.length, 2)
})

describe('dir: is refused', () => {
  const refused: [name: string, files: Record<string, string>, code: Code, message: RegExp][] = [
    ['without manifest.json', {}, 'BAD_FORMAT', /no file "manifest.json"/],
    ['of another version', { version: 'Directory Transport Version: 2.0\n' }, 'UNSUPPORTED', /2.0/],
    ['with schema 1', { 'manifest.json': '{"schemaVersion":1}' }, 'UNSUPPORTED', /schema version 1/],
  ]
  for (const [name, files, code, message] of refused)
    test(name, async () => {
      using folder = scratch('dir')
      for (const [path, text] of Object.entries(files)) writeFileSync(folder.at(path), text)
      await assert.rejects(readAll(`dir:${folder.path}`), { code, message })
    })
})

function blobName(bytes: Uint8Array): string {
  return `blobs/${digestOf(bytes).replace(':', '/')}`
}

function blobsOf(...blobs: Uint8Array[]): TestEntry[] {
  return blobs.map((bytes) => file(blobName(bytes), bytes))
}

function flip(bytes: Uint8Array, at = bytes.length >> 1): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 0x40
  return copy
}
