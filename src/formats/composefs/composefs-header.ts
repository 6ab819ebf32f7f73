/**
 * The header that makes an EROFS image one of composefs: the first 32 bytes, which EROFS leaves to boot loaders. All
 * integers are little-endian; source: composefs' lcfs-erofs.h.
 */

export const composefsHeader = {
  magic: 0,
  headerVersion: 4,
  flags: 8,
  version: 12,
  bytes: 32,
} as const

export const composefsMagic = 0xd078629a
/** Flag of an image with an inode that has a POSIX ACL; without it a mount may turn ACLs off. */
export const composefsHasAcl = 1

/**
 * Version of the layout that composefs-rs wrote before it adopted mkcomposefs' own, which are versions 0 and 1. It is a
 * sibling of those rather than their successor.
 */
export const rsLayoutVersion = 2

/** Longest content that composefs keeps in the image itself. */
export const inlineContentMax = 5000

export interface ComposefsHeader {
  /** Version of the header: 1 in all images there are. */
  readonly headerVersion: number
  /** Version of the composefs format. */
  readonly version: number
  readonly hasAcl: boolean
}

/** Reads the header at the start of an image; undefined when the bytes do not begin with one. */
export function readComposefsHeader(bytes: Uint8Array): ComposefsHeader | undefined {
  if (bytes.length < composefsHeader.bytes) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(composefsHeader.magic, true) !== composefsMagic) return undefined
  return {
    headerVersion: view.getUint32(composefsHeader.headerVersion, true),
    version: view.getUint32(composefsHeader.version, true),
    hasAcl: (view.getUint32(composefsHeader.flags, true) & composefsHasAcl) !== 0,
  }
}
