import type { Entry } from '../entry.ts'

/** Files that stargz-snapshotter's writer puts into the root of a layer to say what is worth prefetching. */
const landmarks: ReadonlySet<string> = new Set(['.prefetch.landmark', '.no.prefetch.landmark'])
const landmarkByte = 0x0f

/**
 * Whether a layer was written as eStargz (stargz-snapshotter, docs/estargz.md): it then has, in its root, a landmark
 * whose one byte is 0x0f. The blob's footer would say so too, but the footer is lost when a layer is recompressed; going
 * by the tar alone, layers with the same diffID are the same tree whatever blob they came in. Nobody has such a file by
 * accident; who plants one hides no more than the files of eStargz itself.
 */
export function isEstargz(entries: Iterable<Entry>): boolean {
  for (const { path, type, content } of entries)
    if (type === 'file' && landmarks.has(path) && content.kind === 'inline')
      if (content.bytes.length === 1 && content.bytes[0] === landmarkByte) return true
  return false
}
