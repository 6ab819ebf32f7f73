import { type Digest, type VerityDigest, checkDigest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { listFolder, readWhole } from '../store-files.ts'
import { blobPath, imagePath, recordPath } from '../store-layout.ts'
import { type ImageRecord, parseRecord, recordMax } from './image-record.ts'

/** Readers of the small things in a store, each checked against its name. They return undefined when there is none. */

export function readRecord(root: string, manifest: Digest): ImageRecord | undefined {
  const bytes = readWhole(recordPath(root, manifest), `record ${manifest}`, recordMax)
  return bytes === undefined ? undefined : parseRecord(bytes, manifest)
}

/** Manifests of all records. Names that are no digests are strays, which fsck reports. */
export function listRecords(root: string): Digest[] {
  return listFolder(`${root}/records`).filter(isDigest)
}

/** Records of the images that have this composefs image, with or without a name. What cannot be read is none. */
export function recordsWith(root: string, image: VerityDigest): ImageRecord[] {
  return listRecords(root).flatMap((manifest) => {
    try {
      const record = readRecord(root, manifest)
      return record !== undefined && Object.values(record.images).includes(image) ? [record] : []
    } catch (error) {
      if (error instanceof OnefoldError && error.code !== 'IO' && error.code !== 'DENIED') return []
      throw error
    }
  })
}

const blobMax = 64 * 1024 * 1024

export function readBlob(root: string, digest: Digest): Uint8Array | undefined {
  const what = `blob ${digest}`
  const bytes = readWhole(blobPath(root, digest), what, blobMax)
  if (bytes === undefined) return undefined
  try {
    checkDigest(bytes, digest, what)
  } catch (cause) {
    throw new OnefoldError('CORRUPT', `Cannot read ${what}: its bytes hash to something else`, { cause })
  }
  return bytes
}

/** EROFS metadata of a million entries with long names and some xattrs each. */
const imageMax = 2 ** 30

/**
 * Reads an image, unchecked: it is opened far more often than it could change, and a mount is verified by the kernel or
 * on request.
 */
export function readImageFile(root: string, digest: VerityDigest): Uint8Array | undefined {
  return readWhole(imagePath(root, digest), `image ${digest}`, imageMax)
}
