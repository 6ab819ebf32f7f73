import { bad } from './erofs-error.ts'
import { fileTypes } from './erofs-records.ts'
import { S_IFMT } from '../tree.ts'

/** Refuses a directory entry that gives an inode another type than the inode itself. */
export function checkEntryType(nid: number, mode: number, fileType: number): void {
  if (fileTypes[(mode & S_IFMT) >> 12] !== fileType)
    throw bad(`an entry gives inode ${nid} the type ${fileType}, its mode is 0${mode.toString(8)}`)
}
