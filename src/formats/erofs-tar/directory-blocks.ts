/** Writes the names of a directory in blocks, each of which is read by itself: a table of entries, then the names. */
import { dirent } from '../erofs/erofs-records.ts'
import { compareNames } from '../tree.ts'
import { blockSize } from './record-blocks.ts'

export interface DirectoryBlocks {
  readonly blocks: readonly (readonly string[])[]
  /** Bytes in all, the last block as far as it is taken. */
  readonly size: number
}

/** Cuts names, and those of the directory itself and of its parent, into blocks. */
export function cutDirectory(names: Iterable<string>): DirectoryBlocks {
  const blocks: string[][] = []
  let used = blockSize
  for (const name of [...names, '.', '..'].sort(compareNames)) {
    const bytes = dirent.bytes + name.length
    if (used + bytes > blockSize) {
      blocks.push([])
      used = 0
    }
    blocks.at(-1)?.push(name)
    used += bytes
  }
  return { blocks, size: (blocks.length - 1) * blockSize + used }
}

export interface NamedNode {
  readonly nid: number
  /** Number by which directories say the type. */
  readonly fileType: number
}

/** Writes the names of a block, which lead where `find` says. */
export function writeDirectoryBlock(
  bytes: Buffer,
  at: number,
  names: readonly string[],
  find: (name: string) => NamedNode,
): void {
  let nameOffset = names.length * dirent.bytes
  names.forEach((name, i) => {
    const entryAt = at + i * dirent.bytes
    const { nid, fileType } = find(name)
    bytes.writeUIntLE(nid, entryAt + dirent.nid, 6)
    bytes.writeUInt16LE(nameOffset, entryAt + dirent.nameOffset)
    bytes[entryAt + dirent.fileType] = fileType
    bytes.write(name, at + nameOffset, 'latin1')
    nameOffset += name.length
  })
}
