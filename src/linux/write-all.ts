import { writeSync } from 'node:fs'

/** Writes all of the bytes where the file's position is: write(2) may write less than it is asked to. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done)
}
