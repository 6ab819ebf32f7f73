/** One tree of two layers, written in every encoding that layers come in. */
import { cpSync } from 'node:fs'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { writeConfig } from '../src/formats/oci/config.ts'
import { writeManifest } from '../src/formats/oci/manifest.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import { type DiffId, digestOf, parseDiffId } from '../src/digest.ts'
import type { Store } from '../src/store/store.ts'
import { convertImage } from '../src/transfer/convert/convert.ts'
import type { ConvertFormat, ConvertOptions } from '../src/transfer/convert/options.ts'
import { obtain } from '../src/transfer/obtain.ts'
import { indexImage } from '../src/transfer/soci/index-image.ts'
import {
  LayoutBuilder,
  type TestEntry,
  directory,
  file,
  hardlink,
  opaque,
  special,
  symlink,
  tarOf,
  whiteout,
} from './images.ts'
import { noise } from './registry.ts'

const long = 'a long name/'.repeat(18)
const big = Buffer.concat([noise(900_000), Buffer.alloc(700_000), Buffer.alloc(1_500_000, 'text that compresses. ')])

/** Whole seconds, UTF-8: every format can hold it. */
export const layers: readonly (readonly TestEntry[])[] = [
  [
    directory('', { mode: 0o755, mtime: 1_000_000_000 }),
    directory('bin', { mode: 0o2755, uid: 3, gid: 70_000 }),
    file('bin/su', noise(5000), { mode: 0o4755, mtime: 1_600_000_000 }),
    hardlink('bin/su-again', 'bin/su', { mode: 0o4755, mtime: 1_600_000_000 }),
    file('bin/ping', noise(4097, 2), {
      xattrs: new Map([
        ['security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex')],
        ['user.\xc3\xbc', Buffer.from([0, 255, 10])],
      ]),
    }),
    file('big', big, { mtime: 1_234_567_890 }),
    file('gone', 'to be deleted'),
    directory('hidden'),
    file('hidden/old', noise(300, 3)),
    directory('\xc3\xbcn\xc3\xafcode', { mtime: -5 }),
    file('\xc3\xbcn\xc3\xafcode/f<>&', 'x'),
    ...[0, 1, 63, 64, 65, 4095, 4096].map((length) => file(`sizes-${length}`, noise(length, 4 + length))),
    symlink('link', '../\xc3\xbcn\xc3\xafcode'),
    special('null', 'char', { major: 1, minor: 3, mode: 0o666 }),
    special('pipe', 'fifo', { uid: 65_534 }),
    ...Array.from({ length: 40 }, (_, i) => file(`many/${i}`, noise(i * 97, 50 + i))),
    file(`${long}end`, noise(2000, 9)),
  ],
  [
    whiteout('gone'),
    directory('hidden'),
    opaque('hidden'),
    file('hidden/new', noise(301, 3)),
    file('big', Buffer.concat([big.subarray(0, 1_200_000), Buffer.from('changed'), big.subarray(1_200_000)])),
    file('sizes-65', noise(65, 7)),
  ],
]

export interface Encoding {
  readonly name: string
  /** What a user would write. */
  readonly source: string
  /** What a pull by parts proves; undefined where there is no table, and no parts. */
  readonly byParts?: 'proven' | 'toc-only'
  /** Whether layers have the diffIDs of the plain tars. */
  readonly keepsTar: boolean
  /** Whether the tar holds files that are not in the tree. */
  readonly hasOwnFiles?: boolean
}

export interface EncodedTrees {
  readonly diffIds: readonly DiffId[]
  readonly encodings: readonly Encoding[]
}

const tars = layers.map(tarOf)

function pieces(bytes: Uint8Array, length: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) =>
    bytes.subarray(i * length, (i + 1) * length),
  )
}

const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex')
const params = { [constants.ZSTD_c_enableLongDistanceMatching]: 1, [constants.ZSTD_c_windowLog]: 27 }

const plain: Readonly<Record<string, readonly [mediaType: string, encode: (tar: Buffer) => Uint8Array]>> = {
  tar: [mediaTypes.layer, (tar) => tar],
  gzip: [mediaTypes.layerGzip, (tar) => gzipSync(tar)],
  'gzip of many members': [
    mediaTypes.layerGzip,
    (tar) => Buffer.concat([gzipSync(''), ...pieces(tar, 130_000).map((part) => gzipSync(part))]),
  ],
  'one zstd frame': [mediaTypes.layerZstd, (tar) => zstdCompressSync(tar)],
  'many zstd frames': [
    mediaTypes.layerZstd,
    (tar) =>
      Buffer.concat([
        skippable,
        ...pieces(tar, 140_000).flatMap((part) => [zstdCompressSync(part), zstdCompressSync('')]),
        skippable,
      ]),
  ],
  'zstd with a long window': [mediaTypes.layerZstd, (tar) => zstdCompressSync(tar, { params })],
}

const converted: readonly [
  name: string,
  to: ConvertFormat,
  options: ConvertOptions,
  Omit<Encoding, 'name' | 'source'>,
][] = [
  ['eStargz', 'estargz', {}, { byParts: 'toc-only', keepsTar: false, hasOwnFiles: true }],
  [
    'eStargz with small chunks',
    'estargz',
    { chunkSize: 65_536 },
    { byParts: 'toc-only', keepsTar: false, hasOwnFiles: true },
  ],
  [
    'eStargz with many chunks in a member',
    'estargz',
    { chunkSize: 65_536, minChunkSize: 300_000 },
    { byParts: 'toc-only', keepsTar: false, hasOwnFiles: true },
  ],
  [
    'eStargz with prefetched files',
    'estargz',
    { prioritized: ['big', 'bin/su-again', '\u00fcn\u00efcode/f<>&'] },
    { byParts: 'toc-only', keepsTar: false, hasOwnFiles: true },
  ],
  ['eStargz with external tables', 'estargz', { externalToc: true }, { byParts: 'toc-only', keepsTar: false }],
  [
    'eStargz that keeps diffIDs',
    'estargz',
    { externalToc: true, keepDiffId: true },
    { byParts: 'toc-only', keepsTar: true },
  ],
  ['zstd:chunked', 'zstd-chunked', {}, { byParts: 'proven', keepsTar: true }],
  ["stargz' zstd", 'stargz-zstd', { chunkSize: 65_536 }, { byParts: 'toc-only', keepsTar: false }],
  ["stargz' zstd that keeps diffIDs", 'stargz-zstd', { keepDiffId: true }, { byParts: 'toc-only', keepsTar: true }],
  ['tar+gzip', 'tar+gzip', { level: 9 }, { keepsTar: true }],
  ['tar+zstd', 'tar+zstd', { level: 1 }, { keepsTar: true }],
  ['plain tar', 'tar', {}, { keepsTar: true }],
]

const believed = { byParts: 'toc-only', keepsTar: true } as const
const fine = { spanSize: 256 * 1024, minLayerSize: 0, zstd: true } as const

/** Writes them all into layouts below `folder`; `store` is needed on the way. */
export async function encodeTrees(folder: string, store: Store): Promise<EncodedTrees> {
  const layout = new LayoutBuilder(`${folder}/layout`)
  const diffIds = tars.map((tar) => parseDiffId(digestOf(tar)))
  const encodings: Encoding[] = []
  const named = (encoding: Omit<Encoding, 'source'>, place = 'converted'): string => {
    const source = `oci:${folder}/${place}:${encodings.length}`
    encodings.push({ ...encoding, source })
    return source
  }
  const platform = { os: 'linux', architecture: 'amd64' }
  const config = layout.blob(mediaTypes.config, writeConfig({ platform, diffIds }))
  for (const [name, [mediaType, encode]] of Object.entries(plain)) {
    const blobs = tars.map((tar) => layout.blob(mediaType, encode(tar)))
    const source = named({ name, keepsTar: true }, 'layout')
    layout.tag(layout.blob(mediaTypes.manifest, writeManifest({ config, layers: blobs })), source.split(':')[2])
  }
  cpSync(layout.folder, `${folder}/indexed`, { recursive: true, mode: 0 })
  const plainOnes = [...encodings]
  for (const { source } of plainOnes) await obtain(store, source)
  const [, gzip = ''] = plainOnes.map(({ source }) => source)
  for (const [name, format, options, encoding] of converted)
    await convertImage(store, gzip, format, named({ name, ...encoding }), options)
  for (const { name, source } of plainOnes)
    await convertImage(store, source, 'soci', named({ name: `SOCI over ${name}`, ...believed }), fine)
  for (const { name, source } of plainOnes) {
    const indexed = source.replace('/layout:', '/indexed:')
    await indexImage(indexed, fine)
    encodings.push({ name: `SOCI attached to ${name}`, source: indexed, ...believed })
  }
  return { diffIds, encodings }
}
