/**
 * What a format of images or layers is: one folder here with one declaration, and one line in `all.ts`. Nothing else in the
 * project knows a format by its name; pull, plan, convert, index, inspect, help and completion go by what it declares.
 *
 * A declaration is small and loaded whenever formats are looked at; what reads and writes is loaded when it is used.
 */
import type { Digest, DiffId } from '../digest.ts'
import type { Decoder, IndexingDecoder } from '../codecs/codec.ts'
import type { Coding } from '../codecs/coding.ts'
import type { Binding } from './binding.ts'
import type { ContentIndex } from './content-index.ts'
import type { OptionSpecs, OptionsOf } from './format-options.ts'
import type { Descriptor } from './oci/descriptor.ts'
import type { Manifest } from './oci/manifest.ts'
import type { Reading } from './reading.ts'

export interface Format<S extends OptionSpecs = OptionSpecs> {
  /** What `--to` takes and `inspect` says. */
  readonly name: string
  /** For people: `eStargz`. */
  readonly title: string
  /** One line for help and for the README's table: what it is good for, and who reads it. */
  readonly about: string
  /** Where the format is specified. */
  readonly specification: string
  /** Layers that are in the format and no tars: media types that manifests may name beside those of OCI and Docker. */
  readonly layerTypes?: readonly string[]
  /** Annotations about a layer's bytes or its index, on its descriptor: untrue once the layer is written anew. */
  readonly layerAnnotations?: RegExp
  /** The same of an image's manifest. */
  readonly imageAnnotations?: RegExp
  /** By what the descriptor of a layer binds an index of the format; undefined where it does not. */
  readonly binding?: (layer: Descriptor) => Binding | undefined
  /** How an index of the format is found and read. */
  readonly index?: {
    /** Whether an index has digests of files, by which a store recognises what it holds already. */
    readonly identifies: boolean
    load(): Promise<IndexReader>
  }
  readonly writer?: FormatWriter<S>
  /** A format whose index can be made beside an image where it lies, without touching it. */
  readonly attacher?: IndexAttacher<S>
  /** A format in which one file is a whole image or layer: `NAME:FILE` can be pulled and exported. */
  readonly file?: { load(): Promise<FormatFile> }
}

/** Keeps the types of a declaration's options. */
export function defineFormat<const S extends OptionSpecs>(format: Format<S>): Format<S> {
  return format
}

// Reading

/** An image as formats look at it, to find what is theirs. */
export interface DescribedImage {
  readonly digest: Digest
  readonly manifest: Manifest
}

/** An index that an image, or somebody else, says there is. */
export interface Claim {
  /** Which layer of the manifest the index is of; undefined: the image as a whole. */
  readonly layer: Descriptor | undefined
  /**
   * What vouches for the index: a digest on the layer's descriptor, one on the manifest, or nothing but the blob itself or
   * somebody who attached it. A layer that two formats bind an index to is refused: one digest would then name two trees.
   */
  readonly boundBy: 'layer' | 'image' | 'nothing'
  /** What the manifest binds the index by, where it does. */
  readonly digest: Digest | undefined
  /**
   * Reads the index; undefined when there is none after all. An index that its digest does not fit throws DIGEST_MISMATCH;
   * one that lies BAD_FORMAT; too large a one LIMIT; what is well-formed and of no use here UNSUPPORTED.
   */
  open(limits: IndexLimits): Reading<ContentIndex | undefined>
}

export interface IndexReader {
  /**
   * The indexes of this format that there are, or may be, of these layers of an image.
   * @param options `unbound`: also those that nothing in the manifest binds
   */
  claims(
    image: DescribedImage,
    layers: readonly Descriptor[],
    options: { readonly unbound: boolean },
  ): Reading<readonly Claim[]>
}

/** What an index may ask for; a table of a few kilobytes can claim anything. */
export interface IndexLimits {
  readonly maxEntries?: number
  readonly maxEntrySize?: number
  /** Bytes in all files together. */
  readonly maxTotal?: number
  /** Bytes of the index, as it lies in its blob and also decoded. */
  readonly maxTocBytes?: number
}

export interface FormatFile {
  /** Reads the index of a file, which is the only blob; BAD_FORMAT when it is not in the format. */
  open(file: Descriptor, limits: IndexLimits): Reading<ContentIndex>
  /** Yields the file that holds a layer's tar in this format. */
  write?(tar: () => Iterable<Uint8Array>): AsyncGenerator<Uint8Array, void>
}

// Writing

export interface FormatWriter<S extends OptionSpecs = OptionSpecs> {
  readonly options: S
  /** How blobs are compressed: decides the range of `level`. */
  readonly coding: 'gzip' | 'zstd' | 'none'
  /** Whether the image has to have a name for its index to be found. */
  needsName?(options: OptionsOf<S>): boolean
  /** Whether layers are sent as they came wherever their origin still has them. */
  readonly keepsBlobs?: boolean
  /** Throws USAGE for options that do not go together, before anything is read. */
  check?(options: OptionsOf<S>): void
  load(): Promise<LayerWriter<S>>
}

export interface LayerWriter<S extends OptionSpecs = OptionSpecs> {
  /** Opens a layer as a blob of the format; throws UNSUPPORTED, naming the entry, for what the format cannot hold. */
  layer(input: LayerInput, options: OptionsOf<S>, tools: WritingTools): Promise<LayerOutput>
  /** What has to go with an image whose layers were written; undefined where that is nothing. */
  image?(layers: readonly WrittenLayer[], options: OptionsOf<S>): ImageAddition | undefined
  /** What has to go beside all images that were written under one name; undefined where that is nothing. */
  companion?(layers: readonly WrittenLayer[], options: OptionsOf<S>): Companion | undefined
}

/** A layer that is to be written. */
export interface LayerInput {
  /** As it came; its bytes may be gone. */
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly tarSize: number
  /** The layer's tar, whose pieces are good until the next is asked for; it is checked against the diffID at its end. */
  tar(): Iterable<Uint8Array>
  /** The tar with these entries, and what they need, at its front, and how many entries those are; paths as UTF-8 text. */
  ordered(first: readonly string[]): { readonly tar: Iterable<Uint8Array>; readonly count: number }
  /** The blob as it came, checked at its end, where its origin still gives it and `accepts` takes its first bytes. */
  original(accepts: (first: Uint8Array) => boolean): Promise<AsyncIterable<Uint8Array> | undefined>
}

/** A blob in the making, and what is said of it in the end. */
export interface LayerOutput {
  readonly mediaType: string
  readonly bytes: AsyncGenerator<Uint8Array, LayerFacts>
}

/** What a manifest and a config say of a layer that was written. */
export interface LayerFacts {
  /** Of the tar in the blob: another one than before where the format changes the tar. */
  readonly diffId: DiffId
  /** For the layer's descriptor. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
  /** The layer's index, where that is a blob of its own. */
  readonly index?: Uint8Array | undefined
}

export interface WrittenLayer extends LayerFacts {
  /** With the annotations. */
  readonly blob: Descriptor
}

/** Blobs, and an artifact that names them, which go with an image. */
export interface ImageAddition {
  readonly blobs: readonly NewBlob[]
  /** The artifact's manifest. */
  readonly manifest: Uint8Array
  /** Annotations by which the image's own manifest names the artifact. */
  readonly annotations?: Readonly<Record<string, string>>
  /** How an image index lists the artifact beside the image, where readers look for it there. */
  listed?(artifact: Descriptor, image: Descriptor): Descriptor
}

/** A second image, named like the first with `suffix` behind it. */
export interface Companion {
  readonly suffix: string
  readonly blobs: readonly NewBlob[]
  readonly manifest: Uint8Array
}

export interface NewBlob {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

/** What writers cannot do by themselves: compression, on as many threads as there are, and what has to be told. */
export interface WritingTools {
  /** Compresses what can be decoded alone, in the writer's coding; the same bytes on any machine. */
  compress(bytes: Uint8Array): Promise<Uint8Array>
  /** Compresses a whole stream with gzip; the same bytes on any machine. */
  gzip(chunks: Iterable<Uint8Array>): AsyncIterable<Uint8Array>
  readonly codecs: IndexingCodecs
  /** Given: what the format cannot hold is replaced by the nearest that it can, and told here. */
  readonly onLoss: ((path: string, error: Error) => void) | undefined
  readonly onWarning: (message: string) => void
  readonly signal: AbortSignal | undefined
}

/** Decoders for formats that index what is compressed already. */
export interface IndexingCodecs {
  decoder(coding: Coding, onFrame?: () => void): Decoder
  /** Decodes gzip and notes, every `spanSize` bytes of output, where a decoder could start. */
  gunzipIndexing(spanSize: number): IndexingDecoder
}

// Attaching

export interface IndexAttacher<S extends OptionSpecs = OptionSpecs> {
  readonly options: S
  check?(options: OptionsOf<S>): void
  load(): Promise<AttachedIndex<S>>
}

export interface AttachedIndex<S extends OptionSpecs = OptionSpecs> {
  /** Whether a layer is worth an index. */
  wants(layer: Descriptor, options: OptionsOf<S>): boolean
  /** Makes the index of a layer of its blob, as it comes by. */
  build(layer: Descriptor, options: OptionsOf<S>, codecs: IndexingCodecs): IndexBuilder
  /** The artifact that attaches the indexes of an image's layers to it, and how a list of referrers describes it. */
  artifact(
    image: Descriptor,
    layers: readonly WrittenLayer[],
    options: OptionsOf<S>,
  ): { readonly blobs: readonly NewBlob[]; readonly manifest: Uint8Array; readonly entry: Partial<Descriptor> }
}

export interface IndexBuilder extends Disposable {
  write(chunk: Uint8Array): void
  finish(): Uint8Array
}
