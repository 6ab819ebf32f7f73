import assert from 'node:assert/strict'
import fc from 'fast-check'
import { OnefoldError } from '../../src/error.ts'
import { imageNodes } from '../../src/formats/composefs/image-nodes.ts'
import { listingLine, writeDumpLine } from '../../src/cli/composefs/print-listing.ts'
import { DumpBytes } from '../../src/formats/dump/dump-bytes.ts'
import { ErofsReader } from '../../src/formats/erofs/erofs-reader.ts'
import { writeErofs } from '../../src/formats/composefs/write-image.ts'
import { randomTree } from '../fixtures/random-tree.ts'
import { damage, hurt } from './damage.ts'

/** Damaged images, listed file by file as `composefs-info` does: no more names than the image can hold, or an OnefoldError. */
export function fuzzImageNodes(seed: number, rounds: number): void {
  const wounds = fc.array(damage, { maxLength: 4 })
  fc.assert(
    fc.property(randomTree({ ambiguous: true, foreignPaths: true }), wounds, (tree, each) => {
      const image = hurt(Buffer.from(writeErofs(tree).bytes), each)
      const lines = attempt(() => list(image))
      if (lines === undefined) assert.notEqual(each.length, 0, 'a whole image is refused')
      else assert.ok(lines * 12 <= image.length, 'more names than the image can hold')
    }),
    { seed, numRuns: rounds },
  )
}

function list(image: Buffer): number {
  let lines = 0
  let line = ''
  const out = new DumpBytes((bytes) => (line += Buffer.from(bytes).toString('latin1')))
  for (const node of imageNodes(new ErofsReader(image))) {
    line = ''
    writeDumpLine(node, out)
    out.flush()
    assert.match(line, /^\/[!-~]* [!-~ ]+\n$/)
    assert.match(listingLine(node) ?? '/\n', /^\/[ -~\t]*\n$/)
    lines++
  }
  return lines
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
    assert.ok(['BAD_FORMAT', 'UNSUPPORTED', 'LIMIT'].includes(error.code), error.code)
    return undefined
  }
}
