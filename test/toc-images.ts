import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Descriptor, Platform } from '../src/formats/entry.ts'
import { writeEstargz } from '../src/formats/estargz/write.ts'
import { writeConfig } from '../src/formats/oci/config.ts'
import { writeManifest } from '../src/formats/oci/manifest.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import type { WrittenLayer } from '../src/formats/toc/written.ts'
import { writeZstdChunked } from '../src/formats/zstd-chunked/write.ts'
import { type LayoutBuilder, type TestEntry, tarOf } from './images.ts'

export type TocKind = 'zstd-chunked' | 'estargz' | 'stargz-zstd'

interface TocImageOptions {
  readonly chunkSize?: number
  readonly platform?: Platform
}

/** An image whose layers bring a table of contents, written into a layout; returns its manifest and layers. */
export async function tocImage(
  layout: LayoutBuilder,
  kind: TocKind,
  layers: readonly (readonly TestEntry[])[],
  { chunkSize = 64 * 1024, platform = { os: 'linux', architecture: 'amd64' } }: TocImageOptions = {},
): Promise<{ manifest: Descriptor; layers: Descriptor[] }> {
  const written = await Promise.all(layers.map((entries) => tocLayer(layout, kind, tarOf(entries), chunkSize)))
  const diffIds = written.map(({ diffId }) => diffId)
  const config = layout.blob(mediaTypes.config, writeConfig({ platform, diffIds }))
  const descriptors = written.map(({ descriptor }) => descriptor)
  const manifest = layout.blob(mediaTypes.manifest, writeManifest({ config, layers: descriptors }))
  return { manifest: { ...manifest, platform }, layers: descriptors }
}

async function tocLayer(
  layout: LayoutBuilder,
  kind: TocKind,
  tar: Uint8Array,
  chunkSize: number,
): Promise<{ descriptor: Descriptor; diffId: WrittenLayer['diffId'] }> {
  const compress = (bytes: Uint8Array): Uint8Array => (kind === 'estargz' ? gzipSync(bytes) : zstdCompressSync(bytes))
  const coding = kind === 'estargz' ? 'gzip' : 'zstd'
  const writer =
    kind === 'zstd-chunked'
      ? writeZstdChunked([tar], { compress })
      : writeEstargz([tar], { compress, coding, chunkSize })
  const pieces: Uint8Array[] = []
  for (let step = await writer.next(); ; step = await writer.next()) {
    if (step.done !== true) {
      pieces.push(Buffer.from(step.value))
      continue
    }
    const { annotations, diffId } = step.value
    const blob = layout.blob(kind === 'estargz' ? mediaTypes.layerGzip : mediaTypes.layerZstd, Buffer.concat(pieces))
    return { descriptor: { ...blob, annotations }, diffId }
  }
}
