import { createHash } from 'node:crypto'
import type { AbortOptions } from '../../abort.ts'
import { parseDiffId, parseDigest } from '../../digest.ts'
import { type Compression, detectCompression } from '../../codecs/detect.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { decoded } from './decoded.ts'
import { openFile, readRange } from './file-set.ts'
import { type SourceOptions, maxUnpackedBytesDefault } from '../source-options.ts'
import { type PlainLayer, plainSource } from './plain-source.ts'
import type { FileRange, Source } from '../source.ts'
import { keepTemporarily } from '../temporary.ts'

/**
 * Opens a tar of a plain tree, compressed or not; the path `-` is standard input, which is kept in a temporary file.
 */
export async function openTarball(name: string, path: string, options: SourceOptions): Promise<Source> {
  return plainSource({ name, platform: options.platform, ...(await openTarLayer(path, options)) })
}

/** Opens a tar as the layer that it is; the caller closes it. */
export async function openTarLayer(
  path: string,
  options: SourceOptions,
): Promise<{ readonly read: (options: AbortOptions) => Promise<PlainLayer>; readonly close: () => Promise<void> }> {
  const { range, close } =
    path === '-' ? await keepTemporarily(process.stdin, options.temporary) : await wholeFile(path)
  const maxBytes = options.maxUnpackedBytes ?? maxUnpackedBytesDefault
  return { read: (abort) => readLayer(range, path, maxBytes, abort), close }
}

async function wholeFile(path: string): Promise<{ range: FileRange; close: () => Promise<void> }> {
  await using file = await openFile(path)
  return { range: { path, offset: 0, length: (await file.stat()).size }, async close() {} }
}

const layerTypes: Readonly<Record<Compression, string>> = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
}

/** Reads a tar once for both of its digests. */
async function readLayer(range: FileRange, what: string, maxBytes: number, options: AbortOptions): Promise<PlainLayer> {
  const blob = createHash('sha256')
  const tar = createHash('sha256')
  let compression: Compression | undefined
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of readRange(range, { ...options, lent: true })) {
      compression ??= detectCompression(chunk)
      blob.update(chunk)
      yield chunk
    }
  }
  for await (const chunk of decoded(chunks(), what, maxBytes)) tar.update(chunk)
  return {
    mediaType: layerTypes[compression ?? 'none'],
    digest: parseDigest(`sha256:${blob.digest('hex')}`),
    diffId: parseDiffId(`sha256:${tar.digest('hex')}`),
    blob: range,
  }
}
