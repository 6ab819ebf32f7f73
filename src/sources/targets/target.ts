import type { Descriptor } from '../../formats/oci/descriptor.ts'

/** Digest and size, by which blobs are known wherever they go. */
export type BlobName = Pick<Descriptor, 'digest' | 'size'>

/** A manifest, or an index, and what it is called where it lies; undefined: by its digest alone. */
export interface NamedManifest {
  readonly descriptor: Descriptor
  readonly name: string | undefined
}

/** An image as its origin had it. */
export interface OriginalImage {
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/**
 * A place that images go to: a layout in a folder, one in an archive, a repository of a registry. It takes blobs before
 * the manifests that name them, those before their index, and names at the end, so that nothing shows before it is whole.
 */
export interface Target extends AsyncDisposable {
  /** Name that was asked for the image; undefined where it gets none, and nothing can be named after it. */
  readonly name: string | undefined
  /**
   * Takes a blob that is being made, of at most `sizeMax` bytes; chunks are valid until the next is asked for. What it is
   * called turns out at the end.
   */
  addLayer(chunks: AsyncIterable<Uint8Array>, sizeMax: number): Promise<BlobName>
  putBlob(descriptor: Descriptor, bytes: Uint8Array): Promise<void>
  putManifest(descriptor: Descriptor, bytes: Uint8Array): Promise<void>
  /** Takes the image as it was, without its layers, where it has those already; false when it does not. */
  takesOriginal?(image: OriginalImage, manifest: Uint8Array, config: Uint8Array): Promise<boolean>
  /** Whether it has a blob already, or can get it without our sending it. */
  holds?(blob: BlobName): Promise<boolean>
  /** Whether what it refused may do once all blobs have been given to it again. */
  doubts?(error: unknown): boolean
  /**
   * Gives names to manifests that have been put, the image's first. A folder and a registry may then be given more, and
   * be finished again.
   */
  finish(manifests: readonly NamedManifest[]): Promise<void>
}
