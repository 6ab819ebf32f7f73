/**
 * A file whose bytes lie outside of the image: what its content becomes as a metacopy and a redirect.
 *
 *     metacopy    len  4  36 00   overlay.metacopy  00 24 00 01  32 bytes of digest       (or nothing, when it is not known)
 *     redirect    len  4  66 00   overlay.redirect  /ab/cdef…
 */
import { pathToBytes } from '../../paths.ts'
import { type Content, sizeOf } from '../entry.ts'
import { type Inode, S_IFMT, S_IFREG } from '../tree.ts'
import { writeMetacopyValue } from './metacopy.ts'

/** The content that a file has outside of the image, if it has. */
export function externalContent(inode: Inode): Content | undefined {
  const { content } = inode
  if (content.kind === 'empty' || content.kind === 'inline' || (inode.mode & S_IFMT) !== S_IFREG) return undefined
  return sizeOf(content) > 0 ? content : undefined
}

/** The path of the bytes below the object directory; '' is nowhere. */
export function placeOf(content: Content): string {
  if (content.kind !== 'object') return content.kind === 'unknown' ? (content.path ?? '') : ''
  return content.path ?? `${content.digest.slice(0, 2)}/${content.digest.slice(2)}`
}

/** The value of the metacopy alone. */
export function metacopyValue(content: Content): Uint8Array {
  return content.kind === 'object' ? writeMetacopyValue(content.digest) : new Uint8Array(0)
}

/** The value of the redirect alone. */
export function redirectValue(content: Content): Uint8Array {
  return pathToBytes(`/${placeOf(content)}`)
}
