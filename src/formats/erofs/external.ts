/**
 * A file whose bytes lie outside of the image: what its content becomes as a metacopy and a redirect.
 *
 *     metacopy    len  4  36 00   overlay.metacopy  00 24 00 01  32 bytes of digest       (or nothing, when it is not known)
 *     redirect    len  4  66 00   overlay.redirect  /ab/cdef…
 *
 * Nearly every inode of an image is one, so both are written in place, without an object for each.
 */
import { type Inode, S_IFMT, S_IFREG } from '../tree.ts'
import { type Content, sizeOf } from '../entry.ts'
import { align, xattrEntry } from './records.ts'
import { encodeXattr, metacopyBytes, metacopyHead, metacopyName, redirectName, splitName } from './xattrs.ts'

/** The content that a file has outside of the image, if it has. */
export function externalContent(inode: Inode): Content | undefined {
  const { content } = inode
  if (content.kind === 'empty' || content.kind === 'inline' || (inode.mode & S_IFMT) !== S_IFREG) return undefined
  return sizeOf(content) > 0 ? content : undefined
}

/** Where the bytes lie below the object directory; '' is nowhere. */
export function placeOf(content: Content): string {
  if (content.kind !== 'object') return content.kind === 'unknown' ? (content.path ?? '') : ''
  return content.path ?? `${content.digest.slice(0, 2)}/${content.digest.slice(2)}`
}

/** `placeOf(content).length`, without making the string. */
export function placeLength(content: Content): number {
  return content.kind === 'object' && content.path === undefined ? digestLength + 1 : placeOf(content).length
}

/** Of the xattr entries, padded. */
export function metacopyEntryBytes(content: Content): number {
  return content.kind === 'object' ? metacopyTemplate.length : metacopyTemplate.length - metacopyBytes
}

export function redirectEntryBytes(content: Content): number {
  return align(redirectValueAt + 1 + placeLength(content), 4)
}

/** Writes the entry at `at` and returns where the next may begin. */
export function writeMetacopy(bytes: Uint8Array, at: number, content: Content): number {
  if (content.kind !== 'object') return writeXattr(bytes, at, metacopyName, noValue)
  bytes.set(metacopyTemplate, at)
  writeHex(bytes, at + digestAt, content.digest)
  return at + metacopyTemplate.length
}

export function writeRedirect(bytes: Uint8Array, at: number, content: Content): number {
  if (content.kind !== 'object' || content.path !== undefined)
    return writeXattr(bytes, at, redirectName, Buffer.from(`/${placeOf(content)}`, 'latin1'))
  bytes.set(redirectTemplate, at)
  const { digest } = content
  let to = at + redirectValueAt + 1
  for (let i = 0; i < digestLength; i++) {
    if (i === 2) to++
    bytes[to++] = digest.charCodeAt(i)
  }
  return at + redirectTemplate.length
}

/** The value alone. */
export function metacopyValue(content: Content): Uint8Array {
  return content.kind === 'object' ? Buffer.from([...metacopyHead, ...Buffer.from(content.digest, 'hex')]) : noValue
}

export function redirectValue(content: Content): Uint8Array {
  return Buffer.from(`/${placeOf(content)}`, 'latin1')
}

const noValue = new Uint8Array(0)
const digestLength = 64
const metacopyTemplate = encodeXattr(metacopyName, Buffer.from([...metacopyHead, ...new Uint8Array(digestLength / 2)]))
const redirectTemplate = encodeXattr(redirectName, Buffer.from(`/  /${' '.repeat(digestLength - 2)}`))
const digestAt = xattrEntry.bytes + splitName(metacopyName).suffix.length + metacopyHead.length
const redirectValueAt = xattrEntry.bytes + splitName(redirectName).suffix.length

function writeXattr(bytes: Uint8Array, at: number, name: string, value: Uint8Array): number {
  const encoded = encodeXattr(name, value)
  bytes.set(encoded, at)
  return at + encoded.length
}

/** The value of a hex digit by its char code. */
const nibbles = Uint8Array.from({ length: 256 }, (_, code) =>
  Math.max(0, '0123456789abcdef'.indexOf(String.fromCharCode(code))),
)

function writeHex(bytes: Uint8Array, at: number, hex: string): void {
  for (let i = 0, to = at; i < digestLength; i += 2, to++)
    bytes[to] = ((nibbles[hex.charCodeAt(i)] as number) << 4) | (nibbles[hex.charCodeAt(i + 1)] as number)
}
