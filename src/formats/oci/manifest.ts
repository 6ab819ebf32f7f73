import { OnefoldError } from '../../error.ts'
import { type Descriptor, descriptorValue, readDescriptor, sortedMap } from './descriptor.ts'
import { type Fields, type JsonLimits, readJson } from '../json.ts'
import {
  type DocumentKind,
  bareMediaType,
  checkLayerType,
  documentKind,
  isImageConfig,
  mediaTypes,
} from './media-types.ts'

/**
 * Manifests and indexes of OCI (image-spec 1.1) and Docker (schema 2). Both dialects have the same shape:
 *
 *     { schemaVersion: 2, mediaType, config: DESCRIPTOR, layers: [DESCRIPTOR …], subject, annotations }
 *     { schemaVersion: 2, mediaType, manifests: [DESCRIPTOR + platform …], subject, annotations }
 *
 * OCI documents may leave `mediaType` out. A document that could be read as either is refused, so that two readers of
 * the same bytes cannot see two images.
 */
export interface Manifest {
  readonly kind: 'manifest'
  readonly mediaType: string
  readonly config: Descriptor
  /** Layers, the lowest first. */
  readonly layers: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
  readonly artifactType: string | undefined
  readonly subject: Descriptor | undefined
}

export interface Index {
  readonly kind: 'index'
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
  readonly artifactType: string | undefined
  readonly subject: Descriptor | undefined
}

/** Facts known of a document before it is read: the media type it was announced with, its digest for messages. */
export interface Announced {
  readonly mediaType?: string | undefined
  readonly digest?: string | undefined
}

/**
 * Reads the manifest of an image, or an index. A manifest of something else (a signature, an SBOM, a chart) is
 * UNSUPPORTED and named by its config. Of which types its layers are, checkLayerTypes() looks at.
 */
export function parseManifest(bytes: Uint8Array, announced: Announced = {}, limits?: JsonLimits): Manifest | Index {
  const document = parseArtifact(bytes, announced, limits)
  if (document.kind === 'manifest') checkImage(document)
  return document
}

/** Reads any manifest or index, of an image or not. */
export function parseArtifact(bytes: Uint8Array, announced: Announced = {}, limits?: JsonLimits): Manifest | Index {
  const what = `manifest${announced.digest === undefined ? '' : ` ${announced.digest}`}`
  const fields = readJson(bytes, what, limits)
  const mediaType = findMediaType(fields, announced.mediaType, what)
  return documentKind(mediaType) === 'index' ? readIndex(fields, mediaType) : readManifest(fields, mediaType)
}

/** Reads a document that can only be an index, such as the `index.json` of a layout. */
export function parseIndex(bytes: Uint8Array, what: string): Index {
  const fields = readJson(bytes, what)
  return readIndex(fields, findMediaType(fields, mediaTypes.index, what))
}

/**
 * Returns the media type that a document itself shows, by its field or by its shape; for servers that announce none.
 */
export function detectMediaType(bytes: Uint8Array): string {
  const what = 'manifest'
  return findMediaType(readJson(bytes, what), undefined, what)
}

/** Throws UNSUPPORTED unless the manifest is that of an image. */
export function checkImage(manifest: Manifest): void {
  if (!isImageConfig(manifest.config.mediaType, manifest.mediaType)) throw notAnImage(manifest)
}

/**
 * Throws UNSUPPORTED, naming the media type, for a layer that nobody here can read.
 * @param declared media types of layers that are in a format and no tars
 */
export function checkLayerTypes({ layers }: Manifest, declared: ReadonlySet<string>): void {
  for (const { mediaType } of layers) if (!declared.has(mediaType)) checkLayerType(mediaType)
}

/** Returns the bytes of a manifest: compact JSON, keys in the order of the image-spec, maps sorted. */
export function writeManifest(manifest: {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
}): Uint8Array {
  return writeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: descriptorValue(manifest.config),
    layers: manifest.layers.map(descriptorValue),
    annotations: sortedMap(manifest.annotations),
  })
}

/** Returns the bytes of an index, written as `writeManifest` does. */
export function writeIndex(index: {
  readonly manifests: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
}): Uint8Array {
  return writeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: index.manifests.map(descriptorValue),
    annotations: sortedMap(index.annotations),
  })
}

function writeJson(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

/**
 * Finds the media type: the document's own field decides, then its shape; how it was announced (a Content-Type may be
 * wrong or missing) is only checked against that, and only its kind matters: an index announced as a manifest is an
 * attack or an accident.
 */
function findMediaType(fields: Fields, announced: string | undefined, what: string): string {
  const own = fields.string('mediaType')
  const announcedKind = announced === undefined ? undefined : documentKind(announced)
  if (isSchema1(fields, own)) throw schema1Refused(what)
  checkSchemaVersion(fields, what)
  const kind = own === undefined ? shapeOf(fields, announcedKind, what) : knownKind(own, what)
  checkShape(fields, kind, what)
  if (announcedKind !== undefined && announcedKind !== kind)
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot read ${what}: it was announced as ${JSON.stringify(announced)}, but it is an image ${kind}`,
    )
  if (own !== undefined) return own
  if (announced !== undefined && announcedKind !== undefined) return bareMediaType(announced)
  return kind === 'index' ? mediaTypes.index : mediaTypes.manifest
}

function isSchema1(fields: Fields, own: string | undefined): boolean {
  if (own !== undefined && documentKind(own) === 'schema1') return true
  return fields.has('schemaVersion') ? fields.size('schemaVersion') === 1 : fields.has('fsLayers')
}

function checkSchemaVersion(fields: Fields, what: string): void {
  const version = fields.size('schemaVersion')
  if (version === 2) return
  throw new OnefoldError('UNSUPPORTED', `Cannot read ${what}: its schemaVersion is ${version}, expected 2`)
}

function knownKind(own: string, what: string): DocumentKind {
  const kind = documentKind(own)
  if (kind !== undefined) return kind
  const found = JSON.stringify(own.slice(0, 200))
  throw new OnefoldError(
    'UNSUPPORTED',
    `Cannot read ${what}: its media type is ${found}, expected an image or an index`,
  )
}

function shapeOf(fields: Fields, announced: DocumentKind | undefined, what: string): DocumentKind {
  if (fields.has('manifests')) return 'index'
  if (fields.has('config') || fields.has('layers')) return 'manifest'
  // Go prints a list without members as null: the shape is gone, the announcement is all there is.
  if (announced === 'index') return 'index'
  throw new OnefoldError(
    'BAD_FORMAT',
    `Cannot read ${what}: it has neither "config" and "layers" of an image nor "manifests" of an index`,
  )
}

/** Refuses documents with the members of both kinds: readers disagree which one they are (CVE-2021-41190). */
function checkShape(fields: Fields, kind: DocumentKind, what: string): void {
  const foreign = kind === 'index' ? ['config', 'layers', 'fsLayers'] : ['manifests', 'fsLayers']
  const found = foreign.find((name) => fields.has(name))
  if (found === undefined) return
  throw new OnefoldError('BAD_FORMAT', `Cannot read ${what}: it is an image ${kind}, but has "${found}" as well`)
}

function readManifest(fields: Fields, mediaType: string): Manifest {
  const config = fields.object('config')
  if (config === undefined) throw fields.bad('config', 'a descriptor')
  return {
    kind: 'manifest',
    mediaType,
    config: readDescriptor(config),
    layers: (fields.objects('layers') ?? []).map(readDescriptor),
    ...readCommon(fields),
  }
}

function readIndex(fields: Fields, mediaType: string): Index {
  return {
    kind: 'index',
    mediaType,
    manifests: (fields.objects('manifests') ?? []).map(readDescriptor),
    ...readCommon(fields),
  }
}

function readCommon(fields: Fields): Pick<Manifest, 'annotations' | 'artifactType' | 'subject'> {
  const subject = fields.object('subject')
  return {
    annotations: fields.map('annotations') ?? {},
    artifactType: fields.string('artifactType'),
    subject: subject && readDescriptor(subject),
  }
}

function notAnImage(manifest: Manifest): OnefoldError {
  const type = manifest.artifactType === undefined ? '' : `, its artifact type ${JSON.stringify(manifest.artifactType)}`
  const found = `its config has media type ${JSON.stringify(manifest.config.mediaType)}${type}`
  return new OnefoldError('UNSUPPORTED', `Cannot use this artifact as an image: ${found}`, {
    hint: 'Only container images can be pulled; the name may be that of a chart, a signature or an SBOM.',
  })
}

function schema1Refused(what: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot read ${what}: it is a Docker manifest of schema version 1`, {
    hint: 'Push the image again with a program of this decade, or convert it with "skopeo copy --format oci".',
  })
}
