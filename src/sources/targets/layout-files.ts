/**
 * OCI image layouts (image-spec "image-layout.md"), as a folder or in a tar. Both are given their index at the end, so
 * that nothing shows before it is whole:
 *
 *     oci-layout              {"imageLayoutVersion": "1.0.0"}
 *     index.json              what is in it, and under which name
 *     blobs/sha256/<hex>
 */
import { createHash } from 'node:crypto'
import { type Digest, parseDigest } from '../../digest.ts'
import { addToLayout } from '../../formats/oci/rewrite-manifest.ts'
import type { BlobName, NamedManifest } from './target.ts'

/** The content of `oci-layout`. */
export const layoutMarker = Buffer.from('{"imageLayoutVersion":"1.0.0"}')

/** Safe as a path: whoever calls has a digest, which is an algorithm and hex digits. */
export function layoutPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`
}

/** The content of index.json with more manifests in it. */
export function addToIndex(index: Uint8Array, manifests: readonly NamedManifest[]): Uint8Array {
  return manifests.reduce((before, { descriptor, name }) => addToLayout(before, descriptor, name), index)
}

/** Passes chunks on and tells what they were. */
export async function* naming(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, BlobName> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    size += chunk.length
    yield chunk
  }
  return { digest: parseDigest(`sha256:${hash.digest('hex')}`), size }
}
