/**
 * A store with as many objects as one likes, written without a pull: what a collection looks at is there (names, refs,
 * records, recipes, files of a block each), the bytes of objects are not what their names say.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { type VerityDigest, digestOf, parseDiffId, parseVerityDigest } from '../src/digest.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import { RecipeWriter, recipeDigest } from '../src/recipe/recipe.ts'
import { writeTarHeader } from '../src/formats/tar/tar-writer.ts'
import { makeFolder, writeFile } from '../src/store/store-files.ts'
import { blobPath, objectPath, recipePath, recordPath } from '../src/store/store-layout.ts'
import { packRecipe } from '../src/store/recipes/recipe-files.ts'
import { type ImageRecord, type LayerRecord, formatRecord } from '../src/store/records/image-record.ts'
import { encodeRef, formatRef } from '../src/store/records/refs.ts'
import { openStore } from '../src/store/store.ts'
import { file } from '../test/fixtures/images.ts'

const objectBytes = 200
const objectsPerImage = 25_000
const layersPerImage = 5

/** Every second object is needed by an image; the others by none. */
export async function makeGarbageStore(root: string, objects: number): Promise<void> {
  await using store = await openStore(root)
  for (let byte = 0; byte < 256; byte++) makeFolder(`${store.root}/objects/${byte.toString(16).padStart(2, '0')}`)
  const content = Buffer.alloc(objectBytes, 'x')
  for (let from = 0; from < objects; from += 2 * objectsPerImage) {
    const needed: VerityDigest[] = []
    for (let n = from; n < Math.min(from + 2 * objectsPerImage, objects); n++) {
      const digest = parseVerityDigest(createHash('sha256').update(`object ${n}`).digest('hex'))
      writeObject(objectPath(store.root, digest), content)
      if (n % 2 === 0) needed.push(digest)
    }
    writeImage(store.root, `image-${from}`, needed)
  }
}

function writeObject(path: string, content: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o444)
  writeSync(fd, content)
  closeSync(fd)
}

function writeImage(root: string, name: string, objects: readonly VerityDigest[]): void {
  const config = writeBlob(root, Buffer.from(`config of ${name}`), mediaTypes.config)
  const manifest = writeBlob(root, Buffer.from(`manifest of ${name}`), mediaTypes.manifest)
  const size = Math.ceil(objects.length / layersPerImage)
  const layers = Array.from({ length: layersPerImage }, (_, n) =>
    writeLayer(root, objects.slice(n * size, (n + 1) * size)),
  )
  const record: ImageRecord = {
    manifest,
    config,
    platform: { os: 'linux', architecture: 'amd64' },
    layers,
    images: {},
    origin: { source: 'bench' },
    keepSelinux: false,
    size: objects.length * objectBytes,
  }
  writeFile(recordPath(root, manifest.digest), formatRecord(record))
  writeFile(`${root}/refs/${encodeRef(name)}`, formatRef(manifest))
}

function writeBlob(root: string, bytes: Buffer, mediaType: string): ImageRecord['manifest'] {
  const digest = digestOf(bytes)
  makeFolder(`${root}/blobs/sha256`)
  writeFile(blobPath(root, digest), bytes)
  return { mediaType, digest, size: bytes.length }
}

function writeLayer(root: string, objects: readonly VerityDigest[]): LayerRecord {
  const writer = new RecipeWriter()
  let tarSize = 0
  for (const digest of objects) {
    const { entry } = file(`usr/lib/${digest.slice(0, 12)}`)
    const header = writeTarHeader({ ...entry, content: { kind: 'unknown', size: objectBytes } }, objectBytes)
    const padding = Buffer.alloc(512 - (objectBytes % 512))
    writer.framing(header)
    writer.file({ kind: 'object', digest, size: objectBytes }, undefined)
    writer.framing(padding)
    tarSize += header.length + objectBytes + padding.length
  }
  const diffId = parseDiffId(digestOf(objects.join()))
  const bytes = writer.finish({ diffId, tarSize })
  const recipe = recipeDigest(bytes)
  writeFile(recipePath(root, recipe), packRecipe(bytes))
  const blob = { mediaType: mediaTypes.layerGzip, digest: digestOf(`blob ${diffId}`), size: 1 }
  return { blob, diffId, recipe, kind: 'layer', proof: 'proven' }
}
