import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TinyErofs } from '../../../test/fixtures/tiny-erofs.ts'
import { deviceSlot, incompatDeviceTable, superblock, superblockAt } from './erofs-records.ts'
import { ErofsVolume } from './erofs-volume.ts'

/** An image whose table of devices begins at its third slot. */
function imageWith(devices: readonly (readonly [blocks: number, mappedBlock: number])[]): TinyErofs {
  const image = new TinyErofs({ blocks: 2 })
  image.field('featureIncompat', incompatDeviceTable)
  image.bytes.writeUInt16LE(devices.length, superblockAt + superblock.extraDevices)
  image.bytes.writeUInt16LE(20, superblockAt + superblock.deviceSlot)
  for (const [i, [blocks, mappedBlock]] of devices.entries()) {
    image.bytes.writeUInt32LE(blocks, (20 + i) * deviceSlot.bytes + deviceSlot.blocks)
    image.bytes.writeUInt32LE(mappedBlock, (20 + i) * deviceSlot.bytes + deviceSlot.mappedBlock)
  }
  return image
}

function devicesOf(image: TinyErofs): unknown {
  return new ErofsVolume(image.bytes, { otherDevices: true }).devices
}

test('every slot is a device', () => {
  assert.deepEqual(devicesOf(imageWith([])), [])
  assert.deepEqual(
    devicesOf(
      imageWith([
        [7, 2],
        [0xffffffff, 0],
      ]),
    ),
    [
      { blocks: 7, mappedBlock: 2 },
      { blocks: 0xffffffff, mappedBlock: 0 },
    ],
  )
})

test('a number of devices says nothing without a table', () => {
  const image = imageWith([[7, 2]])
  image.field('featureIncompat', 0)
  assert.deepEqual(devicesOf(image), [])
})

test('a table that is not in the image is refused', () => {
  const image = imageWith([])
  image.bytes.writeUInt16LE(45, superblockAt + superblock.extraDevices)
  assert.throws(() => devicesOf(image), {
    code: 'BAD_FORMAT',
    message: /the slot of device 45 ends at byte 8320 of 8192/,
  })
})
