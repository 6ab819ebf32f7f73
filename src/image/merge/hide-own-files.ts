import { ownFiles } from '../../formats/all.ts'
import type { OwnFiles } from '../../formats/own-files.ts'
import { type Child, type Directory, S_IFMT, S_IFREG, isHardLink } from '../../formats/tree.ts'

/**
 * Takes away what a format added to a layer for itself, in the root: eStargz' table of contents and landmark. It is
 * recognised by the landmark and its content. The blob would say it too, but that is lost when a layer is recompressed;
 * going by the tar alone, layers with the same diffID are the same tree whatever blob they came in. Nobody has such a file
 * by accident; who plants one hides no more than these files.
 */
export function hideOwnFiles(root: Directory): void {
  for (const own of ownFiles)
    if (own.landmarks.some((name) => isLandmark(root.children.get(name), own)))
      for (const name of own.names) if (isFile(root.children.get(name))) root.children.delete(name)
}

function isFile(child: Child | undefined): boolean {
  return child !== undefined && !isHardLink(child) && (child.mode & S_IFMT) === S_IFREG
}

function isLandmark(child: Child | undefined, { landmark }: OwnFiles): boolean {
  if (child === undefined || isHardLink(child) || child.content.kind !== 'inline') return false
  return Buffer.compare(child.content.bytes, landmark) === 0
}
