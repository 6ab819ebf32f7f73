import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readErofs } from '../../formats/composefs/read-image.ts'
import type { Platform } from '../../formats/oci/descriptor.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Directory } from '../../formats/tree.ts'
import { pathToUtf8 } from '../../paths.ts'
import type { Store, StoredImage } from '../../store/store.ts'
import { imageBytes } from '../ensure-image.ts'
import { parseDestination } from '../../sources/targets/destination.ts'
import { openTarget } from '../../sources/targets/open-target.ts'
import { OutputFile } from '../../sources/targets/output-file.ts'
import { writeDockerArchive } from './docker-archive.ts'
import { turning } from './layer-tar.ts'
import { type RecompressOptions, RecompressedLayers } from './recompressed-layers.ts'
import { Sender } from './sender.ts'
import { type SentImage, sentImage } from './sent-image.ts'
import { treeTar } from './tree-tar.ts'
import { type FormatFileOptions, writeFormatFile } from './write-format-file.ts'

export interface ExportOptions extends RecompressOptions {
  readonly platform?: Platform | undefined
  /** Every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  /** Takes what goes to `tar:-`; the bytes may be used again when it returns. */
  readonly stdout?: ((bytes: Uint8Array) => void) | undefined
  readonly onWarning?: ((message: string) => void) | undefined
}

export interface ExportResult {
  readonly destination: string
  /** Digest of the manifest or index that was written; undefined where there is none. */
  readonly top: Digest | undefined
  /** Images that were written; a tar of the tree holds nothing of the image but its tree, and lists none. */
  readonly images: readonly (Omit<SentImage, 'manifest'> & { readonly manifest?: Digest })[]
}

/**
 * Writes an image of the store to `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]`, or its
 * merged tree to `tar:FILE` or to a file of another format. Config digest and diffIDs stay as they are; the manifest's
 * digest changes with the compression of the layers. Nothing shows at the destination before it is whole and durable.
 */
export async function exportImage(
  store: Store,
  name: string,
  destination: string,
  options: ExportOptions = {},
): Promise<ExportResult> {
  const to = parseDestination(destination)
  if (to.transport === 'docker') throw notForExport(destination)
  const image = store.find(name, { platform: options.platform })
  options.onProgress?.({ type: 'step', step: 'exporting' })
  switch (to.transport) {
    case 'oci':
    case 'oci-archive': {
      await using target = await openTarget(to, options)
      await using layers = new RecompressedLayers(store, options)
      const sender = new Sender(store, target, layers, options)
      const top = await sender.send(image)
      options.onProgress?.({ type: 'step', step: 'making durable' })
      await target.finish([{ descriptor: top, name: target.name }])
      return { destination, top: top.digest, images: sender.sent.map(sentImage) }
    }
    case 'docker-archive': {
      requireOne(options, 'a Docker archive')
      const { record } = image
      await writeDockerArchive(store, record, to.path, to.reference, options)
      const platform = formatPlatform(record.platform)
      const sent = { config: record.config.digest, platform, original: record.manifest.digest }
      return { destination, top: undefined, images: [sent] }
    }
    case 'tar':
      requireOne(options, 'a tar of the tree')
      await writeTree(store, image, to.path, options)
      return { destination, top: undefined, images: [] }
    case 'format':
      requireOne(options, 'such a file')
      await writeFormatFile(store, await treeOf(store, image), to, treeOptions(options))
      return { destination, top: undefined, images: [] }
  }
}

function notForExport(destination: string): OnefoldError {
  return new OnefoldError('BAD_NAME', `Cannot write to ${JSON.stringify(destination)}: it is in a registry`, {
    hint: 'Use: onefold push',
  })
}

/** Refuses options about several images, or a manifest: such a file holds one image under no digest of its own. */
function requireOne({ allPlatforms, preserveDigests }: ExportOptions, what: string): void {
  if (allPlatforms === true)
    throw new OnefoldError('USAGE', `Cannot write all platforms: ${what} holds one`, {
      hint: 'Use oci: or oci-archive:.',
    })
  if (preserveDigests === true)
    throw new OnefoldError('UNSUPPORTED', `Cannot keep the digest of the manifest: ${what} has no manifest`)
}

async function treeOf(store: Store, image: StoredImage): Promise<Directory> {
  return readErofs(await imageBytes(store, image.record))
}

function treeOptions({ onWarning, signal }: ExportOptions): FormatFileOptions {
  return { signal, onSkip: (path, why) => onWarning?.(`left out ${JSON.stringify(pathToUtf8(path))}: ${why}`) }
}

async function writeTree(store: Store, image: StoredImage, path: string, options: ExportOptions): Promise<void> {
  const tree = await treeOf(store, image)
  const chunks = turning(treeTar(store, tree, treeOptions(options)), options.signal)
  if (path === '-') {
    if (options.stdout === undefined) throw new OnefoldError('USAGE', 'Cannot write to "tar:-": there is no output')
    return writeGathered(chunks, options.stdout)
  }
  using file = OutputFile.open(path)
  for await (const chunk of chunks) file.write(chunk)
  file.finish()
}

/** Small chunks are joined: a write for each header would cost more than all else. */
async function writeGathered(chunks: AsyncIterable<Uint8Array>, write: (bytes: Uint8Array) => void): Promise<void> {
  const buffer = Buffer.allocUnsafe(256 * 1024)
  let used = 0
  for await (const chunk of chunks) {
    if (used + chunk.length > buffer.length) {
      if (used > 0) write(buffer.subarray(0, used))
      used = 0
    }
    if (chunk.length > buffer.length) write(chunk)
    else {
      buffer.set(chunk, used)
      used += chunk.length
    }
  }
  if (used > 0) write(buffer.subarray(0, used))
}
