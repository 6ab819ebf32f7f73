import { OnefoldError } from '../../../error.ts'
import { composefsVersion } from '../../../formats/composefs/composefs-header.ts'
import { imageNodes } from '../../../formats/composefs/image-nodes.ts'
import { ErofsReader } from '../../../formats/erofs/erofs-reader.ts'
import { quoteName } from '../../../formats/path.ts'

/**
 * Refuses an image that says of a file that its bytes are outside of the object directories. The kernel does not follow such
 * a path either (it looks up below the data layer only), but an image that asks for it is not one to be mounted.
 * @param name what the image is called in errors
 */
export function checkObjectPaths(image: Uint8Array, name: string): void {
  const reader = new ErofsReader(image)
  if (composefsVersion(reader) === undefined) return
  for (const { image: bytes, redirect, path, pathEnd } of imageNodes(reader)) {
    if (redirect === undefined) continue
    const place = bytes.toString('latin1', ...redirect)
    if (!leavesFolder(place)) continue
    const file = quoteName(path.toString('latin1', 0, pathEnd))
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot mount ${quoteName(name)}: its file ${file} has its bytes at ${quoteName(place)}, expected a path that stays in the objects`,
    )
  }
}

function leavesFolder(place: string): boolean {
  return place.includes('..') && place.split('/').includes('..')
}
