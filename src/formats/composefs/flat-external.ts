/**
 * Files whose bytes lie outside of the image (external-content.ts), for trees in columns. Nearly every inode is
 * such a file, so its metacopy and its redirect are measured and written in place, without an object for either.
 */
import { parseVerityDigest } from '../../digest.ts'
import { encodeXattr } from '../erofs/encode-xattr.ts'
import { align, xattrEntry } from '../erofs/erofs-records.ts'
import { splitName } from '../erofs/xattr-names.ts'
import { type FlatTree, digestAt, field, inodeBytes, inodeWords, kind } from '../flat/flat-tree.ts'
import { contentAt } from '../flat/flatten.ts'
import { S_IFMT, S_IFREG } from '../tree.ts'
import { metacopyValue, redirectValue } from './external-content.ts'
import { metacopyBytes, metacopyDigestAt, writeMetacopyValue } from './metacopy.ts'
import { metacopyName, redirectName } from './overlay-xattrs.ts'

/** Whether the bytes of the inode lie outside of the image. */
export function isExternal(tree: FlatTree, inode: number): boolean {
  const at = inode * inodeWords
  return (
    (tree.words[at + field.kind] as number) >= kind.object &&
    ((tree.words[at + field.mode] as number) & S_IFMT) === S_IFREG &&
    tree.size(inode) > 0
  )
}

/** Whether the digest is known. */
export function hasDigest(tree: FlatTree, inode: number): boolean {
  return tree.words[inode * inodeWords + field.kind] !== kind.unknown
}

export function isAtOwnPath(tree: FlatTree, inode: number): boolean {
  return tree.words[inode * inodeWords + field.kind] === kind.object
}

/** The length of the file's path below the object directory, which is not made for it; 0 is nowhere. */
export function placeLength(tree: FlatTree, inode: number): number {
  return isAtOwnPath(tree, inode) ? digestLength + 1 : (tree.words[inode * inodeWords + field.textLength] as number)
}

/** Bytes of the metacopy's xattr entry, padded. */
export function metacopyEntryBytes(tree: FlatTree, inode: number): number {
  if (!hasDigest(tree, inode)) return metacopyTemplate.length - metacopyBytes
  return tree.hasWideDigests ? metacopyTemplate.length + digestLength / 2 : metacopyTemplate.length
}

/** Bytes of the redirect's xattr entry, padded. */
export function redirectEntryBytes(tree: FlatTree, inode: number): number {
  return align(redirectValueAt + 1 + placeLength(tree, inode), 4)
}

/** Writes the metacopy's entry at `at` and returns where the next may begin. */
export function writeMetacopy(bytes: Uint8Array, at: number, tree: FlatTree, inode: number): number {
  if (tree.hasWideDigests || !hasDigest(tree, inode))
    return writeXattr(bytes, at, metacopyName, metacopyValue(contentAt(tree, inode)))
  for (let i = 0; i < digestOffset; i++) bytes[at + i] = metacopyTemplate[i] as number
  const from = inode * inodeBytes + digestAt
  for (let i = 0; i < 32; i++) bytes[at + digestOffset + i] = tree.bytes[from + i] as number
  return at + metacopyTemplate.length
}

/** Writes the redirect's entry at `at` and returns where the next may begin. */
export function writeRedirect(bytes: Uint8Array, at: number, tree: FlatTree, inode: number): number {
  if (!isAtOwnPath(tree, inode)) return writeXattr(bytes, at, redirectName, redirectValue(contentAt(tree, inode)))
  for (let i = 0; i < redirectTemplate.length; i++) bytes[at + i] = redirectTemplate[i] as number
  const from = inode * inodeBytes + digestAt
  let to = at + redirectValueAt + 1
  for (let i = 0; i < 32; i++) {
    const byte = tree.bytes[from + i] as number
    bytes[to++] = hexDigits[byte >> 4] as number
    bytes[to++] = hexDigits[byte & 15] as number
    if (i === 0) to++
  }
  return at + redirectTemplate.length
}

const digestLength = 64
const hexDigits = Buffer.from('0123456789abcdef')
const metacopyTemplate = encodeXattr(metacopyName, writeMetacopyValue(parseVerityDigest('0'.repeat(digestLength))))
const redirectTemplate = encodeXattr(redirectName, Buffer.from(`/  /${' '.repeat(digestLength - 2)}`))
const digestOffset = xattrEntry.bytes + splitName(metacopyName).suffix.length + metacopyDigestAt
const redirectValueAt = xattrEntry.bytes + splitName(redirectName).suffix.length

function writeXattr(bytes: Uint8Array, at: number, name: string, value: Uint8Array): number {
  const encoded = encodeXattr(name, value)
  bytes.set(encoded, at)
  return at + encoded.length
}
