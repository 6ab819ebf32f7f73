/**
 * `records/<manifest digest>`: what is known of one image, as JSON with keys in this order:
 *
 *     manifest, config   descriptors
 *     platform           as the index says, or else the config
 *     layers[]           blob: descriptor · diffId · recipe · kind: layer | plain · proof: proven | toc-only | failed
 *                        toc: format · digest, of the table of contents that a layer which is not proven was known by
 *     images             kind of composefs image → digest; "default" is what mkcomposefs writes
 *     origin             source: the name it was pulled by, where a repair may fetch again
 *     keepSelinux        whether security.selinux from layers is in the tree
 *     size               bytes of the regular files of the merged tree, each inode once
 *     sum                of all that, see summed-json.ts
 */
import {
  type Digest,
  type DiffId,
  type RecipeDigest,
  type VerityDigest,
  parseDiffId,
  parseDigest,
  parseRecipeDigest,
  parseVerityDigest,
} from '../../digest.ts'
import { type LayerKind, layerKinds } from '../../formats/layer-kind.ts'
import { type Descriptor, type Platform, descriptorValue, readDescriptor } from '../../formats/oci/descriptor.ts'
import { type Fields, readJson } from '../../formats/json.ts'
import { checkSum, summedJson } from './summed-json.ts'

export interface ImageRecord {
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly platform: Platform
  /** The lowest first, as in the config's `rootfs.diff_ids`. */
  readonly layers: readonly LayerRecord[]
  readonly images: Readonly<Partial<Record<ImageKind, VerityDigest>>>
  readonly origin: { readonly source: string }
  /** Whether `security.selinux` from layers is in the tree, and so in the image. */
  readonly keepSelinux: boolean
  /** Bytes of the regular files of the merged tree, each inode once. */
  readonly size: number
}

export interface LayerRecord {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly recipe: RecipeDigest
  readonly kind: LayerKind
  readonly proof: Proof
  /** The table that the layer was read by when its tar was not seen. */
  readonly toc?: LayerToc
}

export interface LayerToc {
  /** Name of the format whose index it was. */
  readonly format: string
  /** Digest by which the manifest binds the table; undefined where nothing does. */
  readonly digest?: Digest
}

/** Proven: the tar was hashed or rebuilt. toc-only: believed from a table of contents. failed: found to be a lie. */
export type Proof = (typeof proofs)[number]
export type ImageKind = (typeof imageKinds)[number]

const proofs = ['proven', 'toc-only', 'failed'] as const
const imageKinds = ['default'] as const

/** Bytes of a record at most: far above what manifests of 4 MiB can name. */
export const recordMax = 16 * 1024 * 1024
const limits = { bytes: recordMax, depth: 16, values: 1_000_000 }

export function formatRecord(record: ImageRecord): Uint8Array {
  const { os, architecture, variant, osVersion } = record.platform
  const value = {
    manifest: descriptorValue(record.manifest),
    config: descriptorValue(record.config),
    platform: { os, architecture, variant, osVersion },
    layers: record.layers.map(layerValue),
    images: Object.fromEntries(imageKinds.map((kind) => [kind, record.images[kind]])),
    origin: { source: record.origin.source },
    keepSelinux: record.keepSelinux,
    size: record.size,
  }
  return summedJson(value)
}

/** Reads a record. `name` is the manifest's digest, by which it was found; one that says otherwise is refused. */
export function parseRecord(bytes: Uint8Array, name: Digest): ImageRecord {
  checkSum(bytes, `record ${name}`)
  const fields = readJson(bytes, `record ${name}`, limits)
  const manifest = readDescriptor(required(fields, 'manifest'))
  if (manifest.digest !== name) throw fields.bad('manifest.digest', name)
  return {
    manifest,
    config: readDescriptor(required(fields, 'config')),
    platform: readPlatform(required(fields, 'platform')),
    layers: (fields.objects('layers') ?? []).map(readLayer),
    images: readImages(required(fields, 'images')),
    origin: { source: required(fields, 'origin').text('source') },
    keepSelinux: readBoolean(fields, 'keepSelinux'),
    size: fields.size('size'),
  }
}

/** The record of one layer, as transactions note it down. */
export function formatLayer(layer: LayerRecord): Uint8Array {
  return jsonBytes(layerValue(layer))
}

export function parseLayer(bytes: Uint8Array, what: string): LayerRecord {
  return readLayer(readJson(bytes, what, limits))
}

function layerValue(layer: LayerRecord): object {
  const { diffId, recipe, kind, proof, toc } = layer
  return { blob: descriptorValue(layer.blob), diffId, recipe, kind, proof, toc }
}

function readLayer(fields: Fields): LayerRecord {
  const toc = fields.object('toc')
  return {
    blob: readDescriptor(required(fields, 'blob')),
    diffId: parsed(fields, 'diffId', parseDiffId),
    recipe: parsed(fields, 'recipe', parseRecipeDigest),
    kind: oneOf(fields, 'kind', layerKinds),
    proof: oneOf(fields, 'proof', proofs),
    ...(toc !== undefined && { toc: readToc(toc) }),
  }
}

function readToc(fields: Fields): LayerToc {
  const digest = fields.has('digest') ? parsed(fields, 'digest', parseDigest) : undefined
  return { format: formatName(fields), ...(digest !== undefined && { digest }) }
}

/** A name of a format, known to this version or not: what the layer holds does not depend on it. */
function formatName(fields: Fields): string {
  const name = fields.text('format')
  if (/^[a-z0-9][a-z0-9+.-]{0,63}$/.test(name)) return name
  throw fields.bad('format', 'the name of a format')
}

function readImages(fields: Fields): ImageRecord['images'] {
  return fields.has('default') ? { default: parsed(fields, 'default', parseVerityDigest) } : {}
}

function readPlatform(fields: Fields): Platform {
  const variant = fields.string('variant')
  const osVersion = fields.string('osVersion')
  return {
    os: fields.text('os'),
    architecture: fields.text('architecture'),
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
  }
}

function readBoolean(fields: Fields, name: string): boolean {
  const value = fields.boolean(name)
  if (value === undefined) throw fields.bad(name, 'true or false')
  return value
}

function required(fields: Fields, name: string): Fields {
  const object = fields.object(name)
  if (object === undefined) throw fields.bad(name, 'an object')
  return object
}

function parsed<T>(fields: Fields, name: string, parse: (text: string) => T): T {
  const text = fields.text(name)
  try {
    return parse(text)
  } catch (cause) {
    throw fields.bad(name, 'a digest', cause)
  }
}

function oneOf<T extends string>(fields: Fields, name: string, values: readonly T[]): T {
  const text = fields.text(name)
  const value = values.find((known) => known === text)
  if (value === undefined) throw fields.bad(name, `one of ${values.join(', ')}`)
  return value
}

/** Indented JSON, for people as well: the files are looked into when something is wrong. */
export function jsonBytes(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}
