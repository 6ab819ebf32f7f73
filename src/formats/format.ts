/**
 * Declaration of a format of images or layers: one folder here with one declaration, and one line in `all.ts`. Nothing
 * else in the project knows a format by its name; pull, plan, convert, index, inspect, help and completion go by what
 * it declares.
 *
 * A declaration is small and loaded whenever formats are looked at; what reads and writes is loaded when it is used.
 */
import type { Digest, DiffId } from '../digest.ts'
import type { Decoder, IndexingDecoder } from '../codecs/codec.ts'
import type { Coding, MemberCoding } from '../codecs/coding.ts'
import type { Binding } from './binding.ts'
import type { ContentIndex } from './content-index.ts'
import { type OptionSpecs, type OptionsOf, levelOption } from './format-options.ts'
import type { Descriptor } from './oci/descriptor.ts'
import type { Manifest } from './oci/manifest.ts'
import type { Reading } from './reading.ts'

export interface Format {
  /** Name that `--to` takes and `inspect` says. */
  readonly name: string
  /** Name for people: `eStargz`. */
  readonly title: string
  /** A line for help and for the README's table: what the format is good for, and who reads it. */
  readonly about: string
  /** Address of the specification. */
  readonly specification: string
  /**
   * Media types of layers that are in the format and no tars, which manifests may name beside those of OCI and Docker.
   */
  readonly layerTypes?: readonly string[]
  /** Annotations about a layer's bytes or its index, on its descriptor: untrue once the layer is written anew. */
  readonly layerAnnotations?: RegExp
  /** Annotations of that sort on an image's manifest. */
  readonly imageAnnotations?: RegExp
  /** Tells by what the descriptor of a layer binds an index of the format; undefined where it does not. */
  readonly binding?: (layer: Descriptor) => Binding | undefined
  /** Reader by which an index of the format is found and read. */
  readonly index?: {
    /** True when an index has digests of files, by which a store recognises what it holds already. */
    readonly identifies: boolean
    load(): Promise<IndexReader>
  }
  readonly writer?: FormatWriter
  /** A format whose index can be made beside an image where it lies, without touching it. */
  readonly attacher?: IndexAttacher
  /** A format in which one file is a whole image or layer: `NAME:FILE` can be pulled and exported. */
  readonly file?: { load(): Promise<FormatFile> }
}

/** Keeps the exact type of a declaration: which parts it has, and of what types its options are. */
export function defineFormat<const F extends Format>(format: F): F {
  return format
}

/** Holds a writer's functions to the types of its options. */
export function defineWriter<const S extends OptionSpecs>(writer: FormatWriter<S>): FormatWriter<S> {
  return writer
}

/** Holds an attacher's functions to the types of its options. */
export function defineAttacher<const S extends OptionSpecs>(attacher: IndexAttacher<S>): IndexAttacher<S> {
  return attacher
}

// Reading

/** Image as formats look at it, to find what is theirs. */
export interface DescribedImage {
  readonly digest: Digest
  readonly manifest: Manifest
}

/** Claim of an image, or of somebody else, that there is an index. */
export interface Claim {
  /** Layer of the manifest that the index is of; undefined for the image as a whole. */
  readonly layer: Descriptor | undefined
  /**
   * Evidence for the index: a digest on the layer's descriptor, one on the manifest, or nothing but the blob itself or
   * somebody who attached it. A layer that two formats bind an index to is refused: one digest would then name two
   * trees.
   */
  readonly boundBy: 'layer' | 'image' | 'nothing'
  /** Digest by which the manifest binds the index, where it does. */
  readonly digest: Digest | undefined
  /**
   * Reads the index; undefined when there is none after all. Throws DIGEST_MISMATCH for an index that its digest does
   * not fit, BAD_FORMAT for one that lies, LIMIT for one that is too large, and UNSUPPORTED for one that is well-formed
   * and of no use here.
   */
  open(limits: IndexLimits): Reading<ContentIndex | undefined>
}

export interface IndexReader {
  /**
   * Returns the indexes of this format that there are, or may be, of these layers of an image.
   * @param options `unbound`: also those that nothing in the manifest binds
   */
  claims(
    image: DescribedImage,
    layers: readonly Descriptor[],
    options: { readonly unbound: boolean },
  ): Reading<readonly Claim[]>
}

/** Limits on what an index may ask for; a table of a few kilobytes can claim anything. */
export interface IndexLimits {
  readonly maxEntries?: number
  readonly maxEntrySize?: number
  /** Limit on bytes in all files together. */
  readonly maxTotal?: number
  /** Limit on bytes of the index, as it lies in its blob and also decoded. */
  readonly maxTocBytes?: number
}

export interface FormatFile {
  /** Reads the index of a file, which is the only blob; throws BAD_FORMAT when it is not in the format. */
  open(file: Descriptor, limits: IndexLimits): Reading<ContentIndex>
  /** Yields the file that holds a layer's tar in this format. */
  write?(tar: () => Iterable<Uint8Array>): AsyncGenerator<Uint8Array, void>
}

// Writing

/** How the blobs of a format are compressed. */
export type WriterCoding = MemberCoding | 'none'

export interface FormatWriter<S extends OptionSpecs = OptionSpecs> {
  readonly options: S
  /** Coding of the blobs, which decides whether there is a `level` beside the options, and its range. */
  readonly coding: WriterCoding
  /** Whether layers keep their tars, and images their IDs, unless options say otherwise. */
  readonly keepsTar: boolean
  /** Example for help: options as the command line writes them, and what they are good for. */
  readonly example?: { readonly options: string; readonly meaning: string }
  /** Whether blobs go out as they came wherever their origin still gives them. */
  readonly keepsBlobs?: boolean
  /** Says what is wrong with options that do not go together; undefined where nothing is. */
  check?(options: OptionsOf<S>): string | undefined
  /** Whether what lies beside the image is found by the name of the image, so that it needs one. */
  needsName?(options: OptionsOf<S>): boolean
  /** Names paths, as UTF-8 text, that are to stand first in the tar of the highest layer that has them. */
  first?(options: OptionsOf<S>): readonly string[]
  load(): Promise<LayerWriter<S>>
}

/** All that can be chosen when a format is written: its options, and how hard to compress. */
export function writerOptions({ options, coding }: FormatWriter): OptionSpecs {
  return coding === 'none' ? options : { level: levelOption(coding), ...options }
}

export interface LayerWriter<S extends OptionSpecs = OptionSpecs> {
  /** Opens a layer as a blob of the format, which throws UNSUPPORTED, naming the entry, for what it cannot hold. */
  layer(input: LayerInput, options: OptionsOf<S>, tools: WritingTools): Promise<LayerOutput>
  /** Makes what has to go with an image whose layers were written; undefined where that is nothing. */
  image?(layers: readonly WrittenLayer[], options: OptionsOf<S>): ImageAddition | undefined
  /** Makes the artifact that refers to an image that was written; undefined where there is to be none. */
  attach?(image: Descriptor, layers: readonly WrittenLayer[], options: OptionsOf<S>): AttachedArtifact | undefined
  /** Makes what has to go beside all images that were written under one name; undefined where that is nothing. */
  companion?(layers: readonly WrittenLayer[], options: OptionsOf<S>): Companion | undefined
}

/** Layer that is to be written. */
export interface LayerInput {
  /** The layer's blob as it came; its bytes may be gone. */
  readonly blob: Descriptor
  readonly diffId: DiffId
  /** How many entries stand first in the tar because the writer's `first` names them, or because such ones need them. */
  readonly first: number
  /** Builds the tar. A piece is good until the next is asked for; what the store lost is CORRUPT, by the end at the latest. */
  tar(): Iterable<Uint8Array>
  /**
   * Reads the blob as it came, checked by its end, where its origin gives it and `accepts` takes its first bytes. A piece
   * is good until the next is asked for.
   */
  original(accepts: (first: Uint8Array) => boolean): Promise<AsyncIterable<Uint8Array> | undefined>
}

/** Blob in the making, with the facts about it at its end. */
export interface LayerOutput {
  readonly mediaType: string
  readonly bytes: AsyncGenerator<Uint8Array, LayerFacts>
}

/** Facts about a layer that was written, for a manifest and a config. */
export interface LayerFacts {
  /** diffID of the tar in the blob: another one than before where the format changes the tar. */
  readonly diffId: DiffId
  /** Annotations for the layer's descriptor. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
  /** Index of the layer, where that is a blob of its own. */
  readonly index?: Uint8Array | undefined
}

export interface WrittenLayer extends LayerFacts {
  /** Descriptor of the blob, without the annotations. */
  readonly blob: Descriptor
}

/** Blobs, and an artifact that names them, which go with an image. */
export interface ImageAddition {
  readonly blobs: readonly NewBlob[]
  /** Manifest of the artifact. */
  readonly manifest: Uint8Array
  /** Annotations by which the image's own manifest, and its entry in an index, name the artifact. */
  readonly annotations?: Readonly<Record<string, string>>
  /** Describes the artifact in an image index beside the image, where readers look for it there. */
  listed?(artifact: Descriptor, image: Descriptor): Descriptor
}

/** Second image, named like the first with `suffix` behind it. */
export interface Companion {
  readonly suffix: string
  readonly blobs: readonly NewBlob[]
  readonly manifest: Uint8Array
}

export interface NewBlob {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

/** Tools for what writers cannot do by themselves: compression, on as many threads as there are, and reports. */
export interface WritingTools {
  /** Compresses what can be decoded alone, in the writer's coding; the same bytes on any machine. */
  readonly compress: (bytes: Uint8Array) => Promise<Uint8Array>
  /** Compresses a whole stream with gzip; the same bytes on any machine. */
  readonly gzip: (chunks: Iterable<Uint8Array>) => AsyncIterable<Uint8Array>
  readonly codecs: IndexingCodecs
  readonly onWarning: (message: string) => void
}

/** Decoders for formats that index what is compressed already. */
export interface IndexingCodecs {
  /** @param onFrame is called where a zstd frame has ended */
  decoder(coding: Coding, onFrame?: () => void): Decoder
  /** Returns a decoder of gzip that notes, every `spanSize` bytes of output, where a decoder could start. */
  gunzipIndexing(spanSize: number): IndexingDecoder
}

// Attaching

export interface IndexAttacher<S extends OptionSpecs = OptionSpecs> {
  readonly options: S
  /** Says what is wrong with options that do not go together; undefined where nothing is. */
  check?(options: OptionsOf<S>): string | undefined
  load(): Promise<IndexMaker<S>>
}

export interface IndexMaker<S extends OptionSpecs = OptionSpecs> {
  /** Whether a layer is worth an index. */
  wants(layer: Descriptor, options: OptionsOf<S>): boolean
  /** Begins the index of a layer, which is made of its blob as that comes by. */
  build(layer: Descriptor, options: OptionsOf<S>, codecs: IndexingCodecs): IndexBuilder
  /** Makes the artifact that attaches the indexes of an image's layers to it; there is at least one. */
  artifact(image: Descriptor, layers: readonly IndexedLayer[], options: OptionsOf<S>): AttachedArtifact
}

/** Takes a blob piece by piece; a piece may be used again when `write` has returned. */
export interface IndexBuilder extends Disposable {
  write(chunk: Uint8Array): void
  finish(): Uint8Array
}

/** A layer that lies somewhere, and the index that was made of it. */
export interface IndexedLayer {
  readonly blob: Descriptor
  readonly index: Uint8Array
}

/** An artifact that refers to an image. */
export interface AttachedArtifact {
  readonly blobs: readonly NewBlob[]
  readonly manifest: Uint8Array
  /** Members of its entry in a list of referrers. An image has one artifact of a type: a new one takes the place of others. */
  readonly listed: Required<Pick<Descriptor, 'annotations' | 'artifactType'>>
}
