import { statSync } from 'node:fs'
import { hexOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Reference, formatReference } from '../../sources/registry/reference.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { type WatchOptions, layerTar, requireLayer, tarSizeOf, turning } from './layer-tar.ts'
import { OutputFile } from '../../sources/targets/output-file.ts'
import { TarFile } from '../../sources/targets/tar-file.ts'

/**
 * Writes what `docker load` reads (and `docker save` wrote before version 25):
 *
 *     <diffID>.tar     each layer, not compressed
 *     <config>.json    the config, whose digest is the image ID
 *     manifest.json    [{ "Config": …, "RepoTags": […], "Layers": […] }]
 *
 * An archive that is there already is refused, as skopeo does: EXISTS.
 */
export async function writeDockerArchive(
  store: Store,
  record: ImageRecord,
  path: string,
  reference: Reference | undefined,
  options: WatchOptions,
): Promise<void> {
  refuseArchive(path)
  for (const layer of record.layers) requireLayer(store, layer)
  using file = OutputFile.open(path)
  const tar = new TarFile(file)
  const written = new Set<string>()
  for (const layer of record.layers) {
    const name = `${hexOf(layer.diffId)}.tar`
    if (written.has(name)) continue
    written.add(name)
    await tar.stream(name, tarSizeOf(store, layer), turning(layerTar(store, layer, options), options.signal))
  }
  const config = `${hexOf(record.config.digest)}.json`
  tar.file(config, store.blob(record.config.digest))
  const image = {
    Config: config,
    RepoTags: reference === undefined ? null : [formatReference(reference)],
    Layers: record.layers.map(({ diffId }) => `${hexOf(diffId)}.tar`),
  }
  tar.file('manifest.json', Buffer.from(JSON.stringify([image])))
  tar.end()
  file.finish()
}

function refuseArchive(path: string): void {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status?.isFile() !== true || status.size === 0) return
  throw new OnefoldError(
    'EXISTS',
    `Cannot write a Docker archive to ${JSON.stringify(path)}: there is a file already`,
    {
      hint: 'Remove it first, or choose another name.',
    },
  )
}
