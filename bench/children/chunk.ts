/** Cuts a file into chunks by one of the chunkers, and hashes each if that is wanted. */
import { type Hash, createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { FastCdcChunker } from '../../src/formats/chunking/fastcdc.ts'
import { RollsumChunker } from '../../src/formats/chunking/rollsum.ts'

const [kind = '', hashes = '', file = ''] = process.argv.slice(2)
let hash: Hash = createHash('sha256')
const sink = {
  data(bytes: Uint8Array): void {
    if (hashes === 'hashed') hash.update(bytes)
  },
  cut(): void {
    if (hashes !== 'hashed') return
    hash.digest()
    hash = createHash('sha256')
  },
  hole(): void {},
}
const chunker = kind === 'fastcdc' ? new FastCdcChunker(sink) : new RollsumChunker(sink)
const buffer = Buffer.allocUnsafeSlow(1 << 20)
const fd = openSync(file, 'r')
for (let length = readSync(fd, buffer); length > 0; length = readSync(fd, buffer))
  chunker.write(buffer.subarray(0, length))
chunker.end()
closeSync(fd)
