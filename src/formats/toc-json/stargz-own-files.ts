import type { OwnFiles } from '../own-files.ts'

/** The table, as the last entry of the tar. */
export const tocName = 'stargz.index.json'
export const prefetchLandmark = '.prefetch.landmark'
export const noPrefetchLandmark = '.no.prefetch.landmark'
export const landmarkByte = 0x0f

const landmarks = [prefetchLandmark, noPrefetchLandmark]

/**
 * Files that stargz-snapshotter's writer puts into the root of a layer (docs/estargz.md): a table of contents, and a landmark that
 * says what is worth prefetching. The landmark tells: nobody has a file of that name and its one byte by accident.
 */
export const stargzOwnFiles: OwnFiles = {
  names: [...landmarks, tocName],
  landmarks,
  landmark: Uint8Array.of(landmarkByte),
}
