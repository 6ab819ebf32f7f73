import { readSync } from 'node:fs'
import { type ComposefsHeader, composefsHeader, readComposefsHeader } from '../formats/composefs/composefs-header.ts'

/** Reads the header of an open image file; undefined when the file does not begin as a composefs image does. */
export function readImageHeader(image: number): ComposefsHeader | undefined {
  const bytes = Buffer.alloc(composefsHeader.bytes)
  const length = readSync(image, bytes, 0, bytes.length, 0)
  return readComposefsHeader(bytes.subarray(0, length))
}
