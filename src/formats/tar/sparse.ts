/**
 * Maps of sparse files: which parts of the file the archive holds. Four encodings, one meaning.
 *
 *     old GNU    typeflag S; 4 pairs in the header, then blocks of 21 pairs (24 bytes each) with a "more" byte at 504
 *     pax 0.0    records GNU.sparse.offset and GNU.sparse.numbytes, in pairs
 *     pax 0.1    record GNU.sparse.map=offset,length,offset,length…
 *     pax 1.0    the body begins with decimal lines (count, then offset and length …), filled up to whole blocks
 *
 * GNU tar manual, "Storing Sparse Files". Offsets and lengths are an attacker's until `checkRanges` has seen them.
 */
import { OnefoldError } from '../../error.ts'
import { type Block, blockBytes, readNumber } from './tar-header.ts'

/** Ranges of the stored bytes in the file, in order and apart; everything else is zeros. */
export type Ranges = readonly (readonly [offset: number, length: number])[]

export const gnuHeaderPairs = { at: 386, count: 4, moreAt: 482 } as const
export const gnuExtensionPairs = { at: 0, count: 21, moreAt: 504 } as const
export const gnuRealSize = [483, 12] as const

const pairBytes = 24
const numberBytes = 12

/** Appends the pairs of a header or extension block to `numbers`; returns true when another extension block follows. */
export function readGnuPairs(
  block: Block,
  place: typeof gnuHeaderPairs | typeof gnuExtensionPairs,
  numbers: number[],
): boolean {
  for (let i = 0; i < place.count; i++) {
    const at = place.at + i * pairBytes
    if (block.bytes[block.at + at] === 0) break
    numbers.push(readNumber(block, at, numberBytes), readNumber(block, at + numberBytes, numberBytes))
  }
  return block.bytes[block.at + place.moreAt] !== 0
}

/** Parses the value of GNU.sparse.map. */
export function parseMapRecord(text: string, maxRanges: number): number[] {
  if (text === '') return []
  const commas = text.length - text.replaceAll(',', '').length
  if (commas >= maxRanges * 2) throw tooManyRanges(maxRanges)
  return text.split(',').map((number) => (/^\d+$/.test(number) ? Number(number) : Number.NaN))
}

/** Reads the decimal lines in front of a pax 1.0 body, one block at a time. */
export class MapReader {
  readonly numbers: number[] = []
  readonly #maxRanges: number
  #wanted = -1
  #value = 0
  #digits = 0

  constructor(maxRanges: number) {
    this.#maxRanges = maxRanges
  }

  /** Reads one block; returns true when the map is complete: the rest of the block is filling. */
  read({ bytes, at }: Block): boolean {
    for (let i = at, end = at + blockBytes; i < end; i++) {
      const byte = bytes[i]!
      if (byte === 0x0a) {
        if (this.#line()) return true
      } else if (byte < 0x30 || byte > 0x39 || ++this.#digits > 20) throw badMap('its lines hold something but digits')
      else this.#value = this.#value * 10 + (byte - 0x30)
    }
    return false
  }

  #line(): boolean {
    if (this.#digits === 0) throw badMap('one of its lines is empty')
    if (this.#wanted >= 0) this.numbers.push(this.#value)
    else if (this.#value > this.#maxRanges) throw tooManyRanges(this.#maxRanges)
    else this.#wanted = this.#value * 2
    this.#value = 0
    this.#digits = 0
    return this.numbers.length === this.#wanted
  }
}

/**
 * Returns offsets and lengths in turn as ranges: in order, apart, inside the file, and together exactly as long as the
 * stored body. Empty ranges, with which GNU tar marks the file's end, are left out.
 */
export function checkRanges(numbers: readonly number[], size: number, stored: number): Ranges {
  if (numbers.length % 2 !== 0) throw badMap('an offset has no length')
  const ranges: [number, number][] = []
  let from = 0
  let sum = 0
  for (let i = 0; i < numbers.length; i += 2) {
    const [offset, length] = [numbers[i]!, numbers[i + 1]!]
    if (!isSize(offset) || !isSize(length)) throw badMap('it holds a number that is none, or beyond 2^53')
    if (offset < from || offset + length > size)
      throw badMap(`${offset}+${length} overlaps, is out of order or beyond the file's ${size} bytes`)
    from = offset + length
    sum += length
    if (length > 0) ranges.push([offset, length])
  }
  if (sum !== stored) throw badMap(`its parts have ${sum} bytes, the archive holds ${stored}`)
  return ranges
}

export function tooManyRanges(limit: number): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot read a sparse file: its map has more than ${limit} parts`, {
    hint: 'Raise the limit maxSparseRanges if you trust the archive.',
  })
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function badMap(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read the map of a sparse file: ${found}`)
}
