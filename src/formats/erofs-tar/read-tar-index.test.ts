import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type TestEntry, directory, file, special, symlink, tarOf, whiteout } from '../../../test/fixtures/images.ts'
import { indexOf, openTarFile, readIndexOf } from '../../../test/fixtures/index-layers.ts'
import { fuzzErofsTar } from '../../../test/fuzz/erofs-tar.ts'
import type { Code } from '../../error.ts'
import { chunkIndex, compact, deviceSlot, dirent, extended, superblock, superblockAt } from '../erofs/erofs-records.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import type { IndexLimits } from '../format.ts'

/** An index that can be changed, and the tar that it is over. */
class Victim {
  readonly tar: Buffer
  readonly index: Buffer
  implied: readonly number[]

  constructor(entries: readonly TestEntry[]) {
    this.tar = tarOf(entries)
    const { bytes, implied } = indexOf(this.tar)
    this.index = Buffer.from(bytes)
    this.implied = implied
  }

  /** Where an inode begins. */
  inodeAt(...names: readonly string[]): number {
    const reader = new ErofsReader(this.index, { otherDevices: true })
    const find = (nid: number, name: string): number => reader.find(reader.inode(nid), name) ?? assert.fail(name)
    return names.reduce(find, reader.rootNid) * 32
  }

  /** Where the table of chunks of a compact inode without attributes begins. */
  chunksAt(...names: readonly string[]): number {
    return this.inodeAt(...names) + compact.bytes
  }

  /** Where the root says what a name leads to. */
  entryAt(name: string): number {
    const namesFrom = this.inodeAt() + compact.bytes
    const nameOffset = this.index.indexOf(name, namesFrom) - namesFrom
    for (let at = namesFrom; ; at += dirent.bytes)
      if (this.index.readUInt16LE(at + dirent.nameOffset) === nameOffset) return at
  }

  read(limits: IndexLimits = {}): unknown {
    return readIndexOf(this.tar, { bytes: this.index, implied: this.implied }, limits)
  }
}

const layer: readonly TestEntry[] = [
  directory(''),
  directory('d'),
  directory('d/e'),
  file('f', 'x'.repeat(600)),
  file('g', 'y'),
  file('.xh.null', 'z'),
  special('null', 'char', { major: 1, minor: 3 }),
  symlink('s', 'target'),
]

describe('a hostile index is refused', () => {
  const hostile: readonly [what: string, code: Code, said: RegExp, change: (victim: Victim) => void][] = [
    [
      'that loops through its directories',
      'BAD_FORMAT',
      /directory 40 has a second name, "d"/,
      (victim) => victim.index.writeUInt32LE(victim.inodeAt() / 32, victim.entryAt('d')),
    ],
    [
      'with a directory of two names',
      'BAD_FORMAT',
      /has a second name, "d\/e"/,
      (victim) => {
        const d = victim.inodeAt('d')
        victim.index.writeUInt32LE(d / 32, d + compact.bytes + 2 * dirent.bytes)
      },
    ],
    [
      'with a name that leads out of it',
      'BAD_FORMAT',
      /inode 4294967295 ends at byte/,
      (victim) => victim.index.writeUInt32LE(0xffffffff, victim.entryAt('f')),
    ],
    [
      'that says another type than an inode has',
      'BAD_FORMAT',
      /an entry gives inode \d+ the type 7/,
      (victim) => victim.index.writeUInt8(7, victim.entryAt('f') + dirent.fileType),
    ],
    [
      'with a file behind the end of the tar',
      'BAD_FORMAT',
      /a file would end at byte \d+ of \d+/,
      (victim) => victim.index.writeUInt32LE(victim.tar.length / 512 - 1, victim.chunksAt('f') + chunkIndex.block),
    ],
    [
      'with a file on a device that is not there',
      'UNSUPPORTED',
      /device 2, which is not the tar/,
      (victim) => victim.index.writeUInt16LE(2, victim.chunksAt('f') + chunkIndex.device),
    ],
    [
      'with two files in one place',
      'BAD_FORMAT',
      /two files lie at byte \d+ of the tar/,
      (victim) => victim.index.copy(victim.index, victim.chunksAt('g'), victim.chunksAt('f'), victim.chunksAt('f') + 8),
    ],
    [
      'with a file that is in the index itself',
      'UNSUPPORTED',
      /the content of "f" is not in the tar/,
      (victim) => victim.index.writeUInt16LE(0, victim.inodeAt('f')),
    ],
    [
      'with more chunks than it has room for',
      'BAD_FORMAT',
      /the chunks of inode \d+ end/,
      (victim) => victim.index.writeUInt32LE(0xffffffff, victim.inodeAt('f') + compact.size),
    ],
    [
      'that says a whiteout twice',
      'BAD_FORMAT',
      /it says "\.wh\.null" twice/,
      (victim) => {
        victim.index.writeUInt32LE(0, victim.inodeAt('null') + compact.union)
        victim.index.write('w', victim.index.indexOf('.xh.null') + 1)
      },
    ],
    [
      'that is said to have directories which it has not',
      'BAD_FORMAT',
      /inode 41 is said to be a directory that the tar leaves out/,
      (victim) => void (victim.implied = [41]),
    ],
    [
      'over two tars',
      'UNSUPPORTED',
      /over 2 devices/,
      ({ index }) => index.writeUInt16LE(2, superblockAt + superblock.extraDevices),
    ],
    [
      'over none',
      'UNSUPPORTED',
      /over 0 devices/,
      ({ index }) => index.writeUInt16LE(0, superblockAt + superblock.extraDevices),
    ],
    [
      'with a table of devices outside of it',
      'BAD_FORMAT',
      /the slot of device 1/,
      ({ index }) => index.writeUInt16LE(0xffff, superblockAt + superblock.deviceSlot),
    ],
    ['that is none', 'BAD_FORMAT', /magic/, ({ index }) => void index.fill(0)],
  ]
  for (const [what, code, message, change] of hostile)
    test(what, () => {
      const victim = new Victim(layer)
      change(victim)
      assert.throws(() => victim.read(), { code, message })
    })

  test('with an owner that nobody can be, or nanoseconds that are no fraction', () => {
    const entries = [file('a', '', { uid: 70_000, mtime: 5 })]
    for (const [field, message] of [
      [extended.uid, /has the owner 4294967295:0/],
      [extended.mtimeNsec, /4294967295 nanoseconds/],
    ] as const) {
      const victim = new Victim(entries)
      victim.index.writeUInt32LE(0xffffffff, victim.inodeAt('a') + field)
      assert.throws(() => victim.read(), { code: 'BAD_FORMAT', message })
    }
  })
})

describe('an index unfolds to no more than it may', () => {
  const limited: readonly [what: string, IndexLimits, said: RegExp][] = [
    ['names', { maxEntries: 7 }, /more than 7 entries/],
    ['bytes of all sorts', { maxTocBytes: 8 * 64 }, /more than 512 bytes of names/],
    ['bytes of a file', { maxEntrySize: 599 }, /a file of 600 bytes/],
    ['bytes of files', { maxTotal: 601 }, /files of 602 bytes/],
  ]
  for (const [what, limits, message] of limited)
    test(what, () => {
      const victim = new Victim(layer)
      assert.throws(() => victim.read(limits), { code: 'LIMIT', message })
      victim.read({ maxEntries: 8, maxTocBytes: 2000, maxEntrySize: 600, maxTotal: 602 })
    })

  test('a whiteout of the longest name is none', () => {
    const victim = new Victim([directory(''), special('n'.repeat(255), 'char', { major: 1, minor: 3 })])
    victim.index.writeUInt32LE(0, victim.inodeAt('n'.repeat(255)) + compact.union)
    assert.throws(() => victim.read(), { code: 'BAD_FORMAT', message: /longer than Linux takes/ })
  })
})

describe('a hostile file is refused', () => {
  const slotAt = 9 * deviceSlot.bytes
  const hostile: readonly [what: string, code: Code, said: RegExp, change: (file: Buffer) => Buffer | void][] = [
    ['that is no image', 'BAD_FORMAT', /magic/, (file) => void file.fill(0)],
    ['that is empty', 'BAD_FORMAT', /its superblock alone/, () => Buffer.alloc(0)],
    [
      'that is shorter than its index',
      'BAD_FORMAT',
      /bytes by its superblock, and the file 1152/,
      (file) => file.subarray(0, 1152),
    ],
    ['whose tar lies elsewhere', 'UNSUPPORTED', /not in one file/, (file) => void file.writeUInt32LE(0, slotAt + 68)],
    ['whose tar is its index', 'BAD_FORMAT', /begins within it/, (file) => void file.writeUInt32LE(1, slotAt + 68)],
    [
      'with an index of terabytes',
      'BAD_FORMAT',
      /by its superblock/,
      (file) => void file.writeUInt32LE(0xffffffff, superblockAt + superblock.blocks),
    ],
    ['without its tar', 'BAD_FORMAT', /a file would end at byte/, (file) => file.subarray(0, file.length - 4096)],
  ]
  for (const [what, code, message, change] of hostile)
    test(what, () => {
      const tar = tarOf(layer)
      const whole = Buffer.concat([indexOf(tar).bytes, tar])
      openTarFile(whole)
      const changed = change(whole) ?? whole
      assert.throws(() => openTarFile(changed), { code, message })
    })

  test('with a larger index than is accepted', () => {
    const tar = tarOf(layer)
    const whole = Buffer.concat([indexOf(tar).bytes, tar])
    assert.throws(() => openTarFile(whole, { maxTocBytes: 1000 }), { code: 'LIMIT', message: /maxTocBytes is 1000/ })
  })
})

test('a damaged index is read or refused, within bounds', () => fuzzErofsTar(1, 200))

test('a whiteout says what it hides and when, and nothing of what it was', () => {
  const entry = whiteout('d/gone')
  const tar = tarOf([{ ...entry, entry: { ...entry.entry, mode: 0o640, uid: 3, mtime: 9 } }])
  const index = readIndexOf(tar, indexOf(tar))
  assert.deepEqual(
    index.files.map(({ entry: { path, type, mode, uid, mtime } }) => ({ path, type, mode, uid, mtime })),
    [{ path: 'd/.wh.gone', type: 'file', mode: 0, uid: 3, mtime: 9 }],
  )
})
