import { lstatSync } from 'node:fs'
import type { Digest } from '../../digest.ts'
import type { Platform } from '../../formats/oci/descriptor.ts'
import { Catalog, type NamedImages } from '../records/catalog.ts'
import { DiskReader } from './disk-reader.ts'
import { Tally, type UseSums } from './usage-tally.ts'
import { indexFile, mountsFolder, tmpFolder } from '../store-layout.ts'
import { Marks } from '../gc/marks.ts'
import { listFolder } from '../store-files.ts'
import type { ImageRecord } from '../records/image-record.ts'

/** Bytes on the disk: whole blocks, folders and what the file system keeps for each file included. */
export interface DiskUse {
  readonly images: readonly ImageUse[]
  readonly store: StoreUse
}

/** An image under one of its names. What lies in the store only once is counted for every image that needs it. */
export interface ImageUse {
  readonly name: string
  readonly manifest: Digest
  readonly platform: Platform
  /** Bytes of all that the image needs. */
  readonly total: number
  /** Bytes of what no other image needs. */
  readonly unique: number
  /** Bytes of what others need as well. */
  readonly shared: number
  /**
   * Bytes that removing this name, and a collection, would free: nothing while another name leads there, all platforms
   * of an index together, and not what a mount or a pull is using.
   */
  readonly reclaimable: number
}

export interface StoreUse {
  readonly objects: number
  readonly recipes: number
  readonly images: number
  readonly blobs: number
  readonly records: number
  readonly refs: number
  /** Bytes of transactions, living and dead. */
  readonly tmp: number
  /** Bytes that mounts have written, and their records. */
  readonly mounts: number
  readonly index: number
  /** Bytes of everything else: settings, and what a check has put away. */
  readonly other: number
  readonly total: number
  /** Bytes that a collection would free now. */
  readonly reclaimable: number
}

/** Measures the store and every image in it. Takes no lock: what changes meanwhile may be counted or not. */
export function measureUse(root: string): DiskUse {
  const inUse = new Marks(root)
  inUse.markInUse()
  const tally = new Tally(root, inUse)
  const parts = new Map(listFolder(root).map((name) => [name, tally.measure(name)]))
  const named = new Catalog(root).all()
  for (const { record, names, tops } of imagesOf(named)) tally.need(record, names, tops)
  const sums = tally.sums()
  return { images: named.flatMap((each) => imageUses(each, sums)), store: storeUse(root, parts, sums) }
}

interface NamedRecord {
  readonly record: ImageRecord
  readonly names: string[]
  readonly tops: Digest[]
}

/** Every image once, with all names that lead to it. */
function imagesOf(named: readonly NamedImages[]): Iterable<NamedRecord> {
  const found = new Map<Digest, NamedRecord>()
  for (const { name, top, records } of named)
    for (const record of records) {
      const image = found.getOrInsertComputed(record.manifest.digest, () => ({ record, names: [], tops: [] }))
      image.names.push(name)
      image.tops.push(top.digest)
    }
  return found.values()
}

function imageUses({ name, records }: NamedImages, { images, names }: UseSums): ImageUse[] {
  return records.map(({ manifest, platform }) => {
    const { total, unique } = images.get(manifest.digest) ?? { total: 0, unique: 0 }
    const reclaimable = names.get(name) ?? 0
    return { name, manifest: manifest.digest, platform, total, unique, shared: total - unique, reclaimable }
  })
}

function storeUse(root: string, parts: ReadonlyMap<string, number>, { garbage }: UseSums): StoreUse {
  const own = new DiskReader(root).full(lstatSync(root))
  const total = parts.values().reduce((sum, bytes) => sum + bytes, own)
  const named = Object.fromEntries(
    Object.entries(partNames).map(([part, file]) => [part, parts.get(file) ?? 0]),
  ) as Record<keyof typeof partNames, number>
  const other = total - Object.values(named).reduce((sum, bytes) => sum + bytes, 0)
  return { ...named, other, total, reclaimable: garbage }
}

const partNames = {
  objects: 'objects',
  recipes: 'layers',
  images: 'images',
  blobs: 'blobs',
  records: 'records',
  refs: 'refs',
  tmp: tmpFolder,
  mounts: mountsFolder,
  index: indexFile,
} as const
