/** Makes the index of a tar as that comes by. */
import { OnefoldError } from '../../error.ts'
import type { Entry } from '../entry.ts'
import { blockBytes, paddingOf } from '../tar/tar-header.ts'
import { noTarLimits } from '../tar/tar-limits.ts'
import { type TarBody, type TarHandler, TarParser } from '../tar/tar-parser.ts'
import { type IndexStamp, noStamp } from './index-inode.ts'
import { type OnLoss, cannotHold } from './index-losses.ts'
import { IndexTree } from './index-tree.ts'
import { type WrittenIndex, writeIndex } from './write-index.ts'

/** The end of a tar is two blocks of zeros; more may follow and mean nothing. */
const endMarkerBytes = 2 * blockBytes
/** A block of the tar is named by a number of 32 bits, the last of which stands for no block. */
const blocksMax = 0xffffffff

export interface IndexOptions {
  readonly stamp?: IndexStamp
  /** Function that is told what became another thing; without it nothing may, and UNSUPPORTED is thrown. */
  readonly onLoss?: OnLoss | undefined
}

export class TarIndexer {
  readonly #stamp: IndexStamp
  readonly #tree: IndexTree
  readonly #parser: TarParser
  #position = 0
  /** End of the last entry, the padding behind it included. */
  #entryEnd = 0

  constructor({ stamp = noStamp, onLoss }: IndexOptions = {}) {
    this.#stamp = stamp
    this.#tree = new IndexTree(stamp, onLoss)
    const handler: TarHandler = {
      framing: (bytes) => void (this.#position += bytes.length),
      entry: (entry, body) => this.#add(entry, body),
      data: (bytes) => void (this.#position += bytes.length),
      endEntry: () => {},
    }
    this.#parser = new TarParser(handler, noTarLimits)
  }

  write(tar: Uint8Array): void {
    this.#parser.write(tar)
  }

  finish(): WrittenIndex {
    this.#parser.end()
    const end = Math.min(this.#position, this.#entryEnd + endMarkerBytes)
    const blocks = Math.ceil(end / blockBytes)
    if (blocks > blocksMax) throw tooLarge(this.#position)
    return writeIndex(this.#tree.root, blocks, this.#stamp)
  }

  #add(entry: Entry, { stored, ranges }: TarBody): void {
    if (ranges !== undefined) throw cannotHold(entry.path, 'a sparse file')
    this.#tree.add(entry, this.#position)
    this.#entryEnd = this.#position + stored + paddingOf(stored)
  }
}

function tooLarge(bytes: number): OnefoldError {
  return new OnefoldError(
    'UNSUPPORTED',
    `Cannot index a tar of ${bytes} bytes: an EROFS index holds at most ${blocksMax} blocks of ${blockBytes}`,
  )
}
