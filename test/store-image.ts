import { parseDiffId, digestOf } from '../src/digest.ts'
import { type Descriptor, type Platform, inlineMax } from '../src/formats/entry.ts'
import { verityDigest } from '../src/formats/fsverity/digest.ts'
import { writeConfig } from '../src/formats/oci/config.ts'
import { writeManifest } from '../src/formats/oci/manifest.ts'
import { mediaTypes } from '../src/formats/oci/media-types.ts'
import { TarParser } from '../src/formats/tar/parse.ts'
import { RecipeWriter, readRecipe, recipeDigest } from '../src/formats/tar/recipe.ts'
import { Merge } from '../src/image/apply.ts'
import { composeImage } from '../src/image/compose.ts'
import type { ImageRecord, LayerRecord } from '../src/store/record.ts'
import type { Staging } from '../src/store/staging.ts'
import type { Transaction } from '../src/store/transaction.ts'
import { type TestEntry, tarOf } from './images.ts'

/** Puts images into a store without pulling: what a pull does, in a few lines and one thread. */

/** Stages a layer whose blob is its tar; objects that the store has are not staged again. */
export function stageLayer(staging: Staging, entries: readonly TestEntry[]): LayerRecord {
  const tar = tarOf(entries)
  const recipe = new RecipeWriter()
  let body: Buffer[] = []
  const parser = new TarParser({
    framing: (bytes) => recipe.framing(bytes),
    entry: () => void (body = []),
    data: (bytes) => void body.push(Buffer.from(bytes)),
    endEntry: () => stageBody(staging, recipe, Buffer.concat(body)),
  })
  parser.write(tar)
  parser.end()
  const diffId = parseDiffId(digestOf(tar))
  const bytes = recipe.finish({ diffId, tarSize: tar.length })
  staging.stageRecipe(recipeDigest(bytes), bytes)
  const blob = { mediaType: mediaTypes.layer, digest: digestOf(tar), size: tar.length }
  return { blob, diffId, recipe: recipeDigest(bytes), kind: 'layer', proof: 'proven' }
}

function stageBody(staging: Staging, recipe: RecipeWriter, bytes: Buffer): void {
  if (bytes.length === 0) return
  if (bytes.length <= inlineMax) return recipe.file({ kind: 'inline', bytes }, undefined)
  const digest = verityDigest(bytes)
  if (!staging.has(digest)) staging.stage(digest, bytes)
  recipe.file({ kind: 'object', digest, size: bytes.length }, undefined)
}

export interface StoreImage {
  readonly layers: readonly (readonly TestEntry[])[]
  readonly platform?: Platform
  /** No name, no image: what only a descriptor leads to. */
  readonly name?: string
}

/** Everything a commit needs for an image: objects, recipes, composefs image, blobs, record and, with a name, ref. */
export function stageImage(transaction: Transaction, image: StoreImage): ImageRecord {
  using staging = transaction.staging(`image-${image.name?.length ?? 0}`)
  const { platform = { os: 'linux', architecture: 'amd64' } } = image
  const layers = image.layers.map((entries) => stageLayer(staging, entries))
  const merge = new Merge()
  for (const { recipe } of layers) merge.apply(readRecipe(transaction.readRecipe(recipe)).entries(), 'layer')
  const composed = composeImage(merge.finish())
  using staged = transaction.stageImage()
  staged.write(composed.bytes)
  transaction.putImage(composed.digest, staged)
  const config = putBlob(
    transaction,
    mediaTypes.config,
    writeConfig({ platform, diffIds: layers.map((l) => l.diffId) }),
  )
  const manifestBytes = writeManifest({ config, layers: layers.map(({ blob }) => blob) })
  const record: ImageRecord = {
    manifest: putBlob(transaction, mediaTypes.manifest, manifestBytes),
    config,
    platform,
    layers,
    images: { default: composed.digest },
    origin: { source: 'test' },
    keepSelinux: false,
    size: image.layers.flat().reduce((sum, { body }) => sum + body.length, 0),
  }
  transaction.putRecord(record)
  if (image.name !== undefined) transaction.setRef(image.name, record.manifest)
  return record
}

function putBlob(transaction: Transaction, mediaType: string, bytes: Uint8Array): Descriptor {
  const digest = digestOf(bytes)
  transaction.putBlob(digest, bytes)
  return { mediaType, digest, size: bytes.length }
}
