import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type DiffId, digestOf, parseDiffId } from '../digest.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import { writeConfig } from '../formats/oci/image-config.ts'
import { writeIndex, writeManifest } from '../formats/oci/manifest.ts'
import { mediaTypes } from '../formats/oci/media-types.ts'
import { hostPlatform } from '../formats/oci/platform.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../formats/tar/tar-writer.ts'
import { type DemoFile, parentsOf, programFiles, textFile } from './programs.ts'

export interface DemoImage {
  readonly name: string
  readonly layers: number
  /** Total size of its files, in bytes. */
  readonly files: number
  /** Total size of its layers as they travel, in bytes. */
  readonly compressed: number
}

/** Fastest level: the demo is about sharing, not about compression. */
const gzipLevel = 1
const firstBuild = 1_700_000_000
const secondBuild = 1_700_090_000

/**
 * Writes two versions of an application with the runtime it needs into an OCI layout. The second is what a rebuild
 * gives: the same files with other timestamps, so that no layer is the same, a changed script, and one program more.
 */
export function makeDemoImages(folder: string): DemoImage[] {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const node = { from: process.execPath, path: '/usr/bin/node' }
  const env = { from: '/usr/bin/env', path: '/usr/bin/env' }
  const versions = [
    { tag: '1', base: programFiles([node], firstBuild), mtime: firstBuild, greeting: 'version 1' },
    { tag: '2', base: programFiles([node, env], secondBuild), mtime: secondBuild, greeting: 'version 2' },
  ]
  const built = versions.map(({ tag, base, mtime, greeting }) => {
    const app = [textFile('srv/app.mjs', script(greeting), mtime)]
    return buildImage(folder, tag, [base, app], [node.path, '/srv/app.mjs'], mtime)
  })
  writeFileSync(join(folder, 'index.json'), writeIndex({ manifests: built.map(({ manifest }) => manifest) }))
  return built.map(({ image }) => image)
}

function script(greeting: string): string {
  return [
    "import { readdirSync } from 'node:fs'",
    `console.log(\`hello from ${greeting} on Node \${process.version}; my root has \${readdirSync('/').join(', ')}\`)`,
    '',
  ].join('\n')
}

function buildImage(
  folder: string,
  tag: string,
  contents: readonly (readonly DemoFile[])[],
  entrypoint: readonly string[],
  mtime: number,
): { manifest: Descriptor; image: DemoImage } {
  const tars = contents.map((files) => tarOf([...parentsOf(files, mtime), ...files]))
  const diffIds: DiffId[] = tars.map((tar) => parseDiffId(digestOf(tar)))
  const layers = tars.map((tar) => putBlob(folder, mediaTypes.layerGzip, gzipSync(tar, { level: gzipLevel })))
  const config = putBlob(
    folder,
    mediaTypes.config,
    writeConfig({ platform: hostPlatform(), diffIds, run: { entrypoint } }),
  )
  const manifest = putBlob(folder, mediaTypes.manifest, writeManifest({ config, layers }))
  return {
    manifest: { ...manifest, annotations: { 'org.opencontainers.image.ref.name': tag } },
    image: {
      name: tag,
      layers: layers.length,
      files: contents.flat().reduce((sum, { body }) => sum + body.length, 0),
      compressed: layers.reduce((sum, { size }) => sum + size, 0),
    },
  }
}

function tarOf(files: readonly DemoFile[]): Buffer {
  const parts = files.flatMap(({ entry, body }) => [writeTarHeader(entry, body.length), body, tarPadding(body.length)])
  return Buffer.concat([...parts, tarTrailer()])
}

function putBlob(folder: string, mediaType: string, bytes: Uint8Array): Descriptor {
  const digest = digestOf(bytes)
  writeFileSync(join(folder, 'blobs', digest.replace(':', '/')), bytes)
  return { mediaType, digest, size: bytes.length }
}
