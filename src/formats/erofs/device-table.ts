import { deviceSlot, incompatDeviceTable, superblock, superblockAt } from './erofs-records.ts'
import type { ImageBytes } from './image-bytes.ts'

/** Another device that files of an image lie on. The first one has the number 1; 0 is the image itself. */
export interface Device {
  readonly blocks: number
  /** Number of its first block where all devices follow one another, the image first; 0 where they do not. */
  readonly mappedBlock: number
}

/** Reads the table of devices; throws BAD_FORMAT where it is not in the image. */
export function readDevices(bytes: ImageBytes): Device[] {
  const hasTable = (bytes.u32(superblockAt + superblock.featureIncompat) & incompatDeviceTable) !== 0
  const count = hasTable ? bytes.u16(superblockAt + superblock.extraDevices) : 0
  const tableAt = bytes.u16(superblockAt + superblock.deviceSlot) * deviceSlot.bytes
  return Array.from({ length: count }, (_, i) => {
    const at = tableAt + i * deviceSlot.bytes
    bytes.need(at, deviceSlot.bytes, 'the slot of device', i + 1)
    return { blocks: bytes.u32(at + deviceSlot.blocks), mappedBlock: bytes.u32(at + deviceSlot.mappedBlock) }
  })
}
