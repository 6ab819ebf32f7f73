import { createHash } from 'node:crypto'
import { parseDiffId, parseDigest } from '../../digest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import type { BlobOptions } from '../source.ts'
import type { PlainLayer } from './plain-source.ts'

/**
 * Describes a tar that is made while it is read and kept nowhere: it is made once for its digest, and once more each time
 * it is served. Both give the same bytes, or the reader of the second finds another digest.
 */
export async function madeLayer(
  first: AsyncIterable<Uint8Array>,
  again: (options: BlobOptions) => AsyncIterable<Uint8Array>,
): Promise<PlainLayer> {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of first) {
    hash.update(chunk)
    length += chunk.length
  }
  const digest = `sha256:${hash.digest('hex')}`
  return {
    mediaType: mediaTypes.layer,
    digest: parseDigest(digest),
    diffId: parseDiffId(digest),
    blob: { length, read: again },
  }
}
