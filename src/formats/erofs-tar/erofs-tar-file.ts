/**
 * Reads and writes an index and its tar in one file, which the kernel mounts as it is: blocks of the tar are numbered from the end of the
 * index on.
 */
import { OnefoldError } from '../../error.ts'
import { bad, unsupported } from '../erofs/erofs-error.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import { superblock, superblockAt } from '../erofs/erofs-records.ts'
import { imageSizeOf } from '../erofs/erofs-volume.ts'
import type { FormatFile } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Reading, readRange } from '../reading.ts'
import { defaultTocLimits } from '../toc-json/toc-json.ts'
import { TarIndexer } from './index-tar.ts'
import { readTarIndex } from './read-tar-index.ts'

export const erofsTarFile: FormatFile = {
  *open(file, given) {
    const limits = { ...defaultTocLimits, ...given }
    const bytes = yield* readIndex(file, limits.maxTocBytes)
    const tar = { blob: file, start: tarStartOf(bytes) }
    return readTarIndex(bytes, { tar, implied: undefined }, limits)
  },

  async *write(tar) {
    const indexer = new TarIndexer()
    for (const bytes of tar()) indexer.write(bytes)
    yield indexer.finish().bytes
    yield* tar()
  },
}

function* readIndex(file: Descriptor, sizeMax: number): Reading<Uint8Array> {
  const head = yield* readRange(file, 0, Math.min(file.size, superblockAt + superblock.bytes))
  const size = imageSizeOf(head)
  if (size > file.size) throw bad(`it has ${size} bytes by its superblock, and the file ${file.size}`)
  if (size > sizeMax)
    throw new OnefoldError('LIMIT', `Cannot use an EROFS index: ${size} bytes, the limit maxTocBytes is ${sizeMax}`, {
      hint: 'Raise the limit maxTocBytes if you trust the image.',
    })
  return yield* readRange(file, 0, size)
}

/** Finds the first byte of the tar in the file. */
function tarStartOf(index: Uint8Array): number {
  const { devices, blockSize } = new ErofsReader(index, { otherDevices: true })
  const mappedBlock = devices[0]?.mappedBlock ?? 0
  if (mappedBlock === 0) throw unsupported('the tar that it is over is not in one file with it')
  if (mappedBlock * blockSize < index.length) throw bad('the tar that it is over begins within it')
  return mappedBlock * blockSize
}
