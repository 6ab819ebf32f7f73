import assert from 'node:assert/strict'
import fc from 'fast-check'
import { OnefoldError } from '../../src/error.ts'
import type { TarOptions } from '../../src/formats/tar/tar-parser.ts'
import {
  type RawHeader,
  base256,
  file,
  gnuLong,
  gnuPairs,
  header,
  padded,
  pax,
  record,
  trailer,
} from '../fixtures/tar-bytes.ts'
import { type TarParts, checkRecipe, takeApart } from '../fixtures/tar-parts.ts'
import { type Damage, damage, hurt } from './damage.ts'

/** Sizes small enough that a sparse file can be built in memory. */
const limits: TarOptions = { maxEntrySize: 1 << 20, maxTotal: 1 << 22, maxPaxBytes: 1 << 16, maxSparseRanges: 100 }

/**
 * Archives made of well-formed and odd parts in any order, hurt or not: whatever the parser makes of one, it makes of it
 * in pieces of any size, and what it takes comes back from its recipe.
 */
export function fuzzTar(seed: number, rounds: number): void {
  const archive = fc.array(part, { maxLength: 8 }).map((parts) => Buffer.concat([...parts, trailer]))
  const wounds = fc.oneof(fc.constant([]), fc.array(damage, { maxLength: 2 }))
  fc.assert(fc.property(archive, wounds, fc.integer({ min: 1, max: 2000 }), check), { seed, numRuns: rounds })
}

function check(whole: Buffer, wounds: readonly Damage[], step: number): void {
  const bytes = repairChecksums(hurt(whole, wounds))
  const [atOnce, inPieces] = [read(bytes, bytes.length), read(bytes, step)]
  if (atOnce instanceof OnefoldError || inPieces instanceof OnefoldError) {
    assert.ok(atOnce instanceof OnefoldError && inPieces instanceof OnefoldError, 'refused whole but not in pieces')
    assert.deepEqual([inPieces.code, inPieces.message], [atOnce.code, atOnce.message])
    assert.ok(['BAD_FORMAT', 'LIMIT', 'UNSUPPORTED'].includes(atOnce.code))
    return
  }
  assert.deepEqual(inPieces.entries, atOnce.entries)
  assert.deepEqual(inPieces.recipe, atOnce.recipe)
  for (const { path } of atOnce.entries) assert.ok(path === '' || path.split('/').every(isName))
  checkRecipe(bytes, atOnce, limits)
}

function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && name.length <= 255 && !name.includes('\0')
}

function read(bytes: Buffer, step: number): TarParts | OnefoldError {
  try {
    return takeApart(bytes, Math.max(step, 1), limits)
  } catch (error) {
    if (error instanceof OnefoldError) return error
    throw error
  }
}

/** Damage that a checksum finds is found too soon to be of interest: blocks that say they are headers get a right one. */
function repairChecksums(bytes: Buffer): Buffer {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes.toString('latin1', at + 257, at + 262) !== 'ustar') continue
    bytes.fill(' ', at + 148, at + 156)
    const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
  }
  return bytes
}

/** Mostly what honest writers write, so that most archives get past their first entry; sometimes what nobody should. */
const name = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom('a', 'b/c', './d', '/e/', 'a/../f', '\xff', 'x'.repeat(99), 'y'.repeat(250)),
  },
  { weight: 1, arbitrary: fc.constantFrom('../g', '', '.', 'z'.repeat(300), 'nul\0') },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom('a', '.', '..', '', '\xe9', 'long'.repeat(30)), { maxLength: 6 })
      .map((parts) => parts.join('/')),
  },
)
const number = fc.oneof(
  { weight: 8, arbitrary: fc.nat(2000) },
  { weight: 3, arbitrary: fc.constantFrom('', '  7 ', base256(5n, 8)) },
  { weight: 1, arbitrary: fc.constantFrom('x', '77777777777', base256(-1n, 12), base256(2n ** 62n, 12)) },
)
const typeflag = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('\0', '0', '1', '2', '3', '4', '5', '6', '7') },
  { weight: 1, arbitrary: fc.constantFrom('S', 'x', 'g', 'L', 'K', 'V', 'Z') },
)
const dialect = fc.constantFrom('v7', 'ustar', 'gnu', 'star')
const body = fc.uint8Array({ maxLength: 1200 })

const anyHeader = fc
  .record(
    {
      name,
      typeflag,
      link: name,
      mode: number,
      uid: number,
      gid: number,
      size: number,
      mtime: number,
      devmajor: number,
      devminor: number,
      prefix: name,
      dialect,
    },
    { requiredKeys: [] },
  )
  .map((fields) => header(shorten(fields)))

/** Names cut to their fields, so that one does not write over the next. */
function shorten(fields: object): RawHeader {
  const cut: RawHeader = fields
  return {
    ...cut,
    ...(cut.name === undefined ? {} : { name: cut.name.slice(0, 100) }),
    ...(cut.link === undefined ? {} : { link: cut.link.slice(0, 100) }),
    ...(cut.prefix === undefined ? {} : { prefix: cut.prefix.slice(0, 155) }),
  }
}

const fitting: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  fc.tuple(fc.constantFrom('path', 'linkpath', 'GNU.sparse.name'), name),
  fc.tuple(fc.constantFrom('size', 'uid', 'gid', 'SCHILY.devmajor'), fc.constantFrom('0', '1', '512', '')),
  fc.tuple(fc.constant('mtime'), fc.constantFrom('0', '1.5', '-1.5', '-7', '')),
  fc.tuple(
    fc.constantFrom('comment', 'SCHILY.xattr.user.a', 'SCHILY.fflags'),
    fc.constantFrom('', 'x', 'a\0b\n', '12 =\n'),
  ),
  fc.tuple(fc.constant('LIBARCHIVE.xattr.user.b%20'), fc.constantFrom('YQ==', '=', '')),
)
const oddKeys = [
  'path',
  'size',
  'uid',
  'mtime',
  'GNU.sparse.map',
  'GNU.sparse.size',
  'GNU.sparse.realsize',
  'GNU.sparse.major',
  'GNU.sparse.minor',
  'GNU.sparse.offset',
  'GNU.sparse.numbytes',
  'LIBARCHIVE.xattr.a',
]
const odd = fc.tuple(
  fc.constantFrom(...oddKeys),
  fc.constantFrom('0', '1', '-1', '1.5', '0,1,5,2', '99999999999999999999', 'a\0b\n', 'x'),
)
const records = fc
  .array(fc.oneof({ weight: 9, arbitrary: fitting }, { weight: 1, arbitrary: odd }), { maxLength: 5 })
  .map((pairs) => pairs.map(([key, value]) => record(key, value)).join(''))

/** Ranges as gaps and lengths: in order and apart. */
const ranges = fc.array(fc.tuple(fc.nat(200), fc.nat(100)), { maxLength: 60 }).map((gaps) => {
  let end = 0
  return gaps.map(([gap, length]) => {
    const at = end + gap
    end = at + length
    return [at, length] as const
  })
})
const slack = fc.oneof(
  { weight: 5, arbitrary: fc.nat(1000) },
  { weight: 1, arbitrary: fc.integer({ min: -50, max: -1 }) },
)

function sizesOf(parts: readonly (readonly [number, number])[], more: number): { stored: number; size: number } {
  const stored = parts.reduce((sum, [, length]) => sum + length, 0)
  const [at, length] = parts.at(-1) ?? [0, 0]
  return { stored, size: Math.max(0, at + length + more) }
}

const oldSparse = fc.tuple(ranges, slack).map(([parts, more]) => {
  const { stored, size } = sizesOf(parts, more)
  const extensions: Buffer[] = []
  for (let at = 4; at < parts.length; at += 21) {
    const block = Buffer.alloc(512)
    block.write(gnuPairs(parts.slice(at, at + 21)), 'latin1')
    if (at + 21 < parts.length) block[504] = 1
    extensions.push(block)
  }
  const edit = (block: Buffer): void => {
    block.write(gnuPairs(parts.slice(0, 4)), 386, 'latin1')
    if (parts.length > 4) block[482] = 1
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 483)
  }
  const first = header({ typeflag: 'S', dialect: 'gnu', size: stored, edit })
  return Buffer.concat([first, ...extensions, padded(Buffer.alloc(stored, 's'))])
})
const newSparse = fc.tuple(ranges, slack).map(([parts, more]) => {
  const { stored, size } = sizesOf(parts, more)
  const map = padded(`${parts.length}\n${parts.map(([at, length]) => `${at}\n${length}\n`).join('')}`)
  const version = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': `${size}` }
  return Buffer.concat([pax(version), file({}, Buffer.concat([map, Buffer.alloc(stored, 's')]))])
})
const recordSparse = fc.tuple(ranges, slack).map(([parts, more]) => {
  const { stored, size } = sizesOf(parts, more)
  const count = { 'GNU.sparse.size': `${size}`, 'GNU.sparse.numblocks': `${parts.length}` }
  const map = { ...count, 'GNU.sparse.map': parts.flat().join(',') }
  return Buffer.concat([pax(map), file({}, Buffer.alloc(stored, 's'))])
})

const part: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(name, body).map(([path, bytes]) => file({ name: path.slice(0, 100) }, bytes)) },
  { weight: 3, arbitrary: anyHeader },
  { weight: 3, arbitrary: fc.tuple(records, fc.constantFrom('x', 'x', 'g')).map(([text, flag]) => pax(text, flag)) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('L' as const, 'K' as const), name).map(([flag, text]) => gnuLong(flag, text)),
  },
  { weight: 1, arbitrary: oldSparse },
  { weight: 1, arbitrary: newSparse },
  { weight: 1, arbitrary: recordSparse },
)
