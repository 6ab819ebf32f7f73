import { OnefoldError } from '../../error.ts'
import { align, nameMax, xattrEntry } from './erofs-records.ts'
import { splitName } from './xattr-names.ts'

/** The longest value that an entry has room for. */
const valueMax = 0xffff

/** An xattr entry, padded to a multiple of four bytes. Throws LIMIT for what is too long for one. */
export function encodeXattr(name: string, value: Uint8Array): Uint8Array {
  const { index, suffix } = splitName(name)
  if (suffix.length > nameMax || value.length > valueMax || name === '')
    throw new OnefoldError(
      'LIMIT',
      `Cannot write xattr ${JSON.stringify(name.slice(0, 80))} (${value.length} bytes): EROFS holds names of ${nameMax} and values of ${valueMax} bytes`,
    )
  const bytes = Buffer.alloc(align(xattrEntry.bytes + suffix.length + value.length, 4))
  bytes[xattrEntry.nameLength] = suffix.length
  bytes[xattrEntry.nameIndex] = index
  bytes.writeUInt16LE(value.length, xattrEntry.valueLength)
  bytes.write(suffix, xattrEntry.bytes, 'latin1')
  bytes.set(value, xattrEntry.bytes + suffix.length)
  return bytes
}
