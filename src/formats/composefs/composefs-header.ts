/**
 * The header that makes an EROFS image one of composefs: the first 32 bytes, which EROFS leaves to boot loaders. All
 * integers are little-endian; source: composefs' lcfs-erofs.h.
 */
import { bad, unsupported } from '../erofs/erofs-error.ts'
import type { ErofsReader } from '../erofs/erofs-reader.ts'
import { blockSize } from '../erofs/erofs-records.ts'

export const composefsHeader = {
  magic: 0,
  headerVersion: 4,
  flags: 8,
  version: 12,
  bytes: 32,
} as const

export const composefsMagic = 0xd078629a
/** The version of the header itself that all images have. */
export const composefsHeaderVersion = 1
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
  /** Version of the header itself. */
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

/** The version of the composefs format that an image has; undefined for a plain EROFS image. */
export function composefsVersion(image: ErofsReader): number | undefined {
  const header = readComposefsHeader(image.bytes)
  if (header === undefined) return undefined
  if (header.headerVersion !== composefsHeaderVersion)
    throw unsupported(`composefs header version ${header.headerVersion}`)
  if (image.blockSize !== blockSize) throw bad(`a composefs image has blocks of ${blockSize} bytes`)
  return header.version
}
