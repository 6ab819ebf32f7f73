import { type Child, type Directory, S_IFMT, S_IFREG, isHardLink } from '../../formats/tree.ts'

/** Files that stargz-snapshotter's writer puts into the root of a layer to say what is worth prefetching. */
const landmarks = ['.prefetch.landmark', '.no.prefetch.landmark']
const landmarkByte = 0x0f
const tableOfContents = 'stargz.index.json'

/**
 * Takes away what eStargz (stargz-snapshotter, docs/estargz.md) added to a layer for itself: its table of contents and its
 * landmark, in the root. It is recognised by the landmark, whose one byte is 0x0f. The blob's footer would say it too, but
 * is lost when a layer is recompressed; going by the tar alone, layers with the same diffID are the same tree whatever
 * blob they came in. Nobody has such a file by accident; who plants one hides no more than these files.
 */
export function hideEstargz(root: Directory): void {
  if (!landmarks.some((name) => isLandmark(root.children.get(name)))) return
  for (const name of [...landmarks, tableOfContents]) if (isFile(root.children.get(name))) root.children.delete(name)
}

function isFile(child: Child | undefined): boolean {
  return child !== undefined && !isHardLink(child) && (child.mode & S_IFMT) === S_IFREG
}

function isLandmark(child: Child | undefined): boolean {
  if (child === undefined || isHardLink(child) || child.content.kind !== 'inline') return false
  return child.content.bytes.length === 1 && child.content.bytes[0] === landmarkByte
}
