import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { noise } from '../../../test/servers/registry.ts'
import { LoopDisk, btrfs, needsLoop, xfs } from '../../../test/fixtures/loop-disk.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { parseVerityDigest } from '../../digest.ts'
import { StagedFile } from './staged-file.ts'

const digest = parseVerityDigest('0'.repeat(64))
const source = noise(200_000)

type Part =
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  | { readonly kind: 'hole'; readonly length: number }
  | { readonly kind: 'share'; readonly from: number; readonly length: number }

const part: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), bytes: fc.uint8Array({ maxLength: 9000 }) }),
  fc.record({ kind: fc.constant('hole' as const), length: fc.nat(9000) }),
  fc.record({
    kind: fc.constant('share' as const),
    from: fc.oneof(
      fc.nat(100_000),
      fc.nat(24).map((block) => block * 4096),
    ),
    length: fc.nat(90_000),
  }),
)

/** Stages a file of these parts; returns what it then holds and what it should. */
function stageParts(folder: string, parts: readonly Part[]): [got: Buffer, want: Buffer] {
  writeFileSync(`${folder}/source`, source)
  const fd = openSync(`${folder}/source`, 'r')
  const path = `${folder}/staged`
  const staged = new StagedFile(
    openSync(path, 'w'),
    path,
    () => `${path}-done`,
    (action, _path, error) => new Error(action, { cause: error }),
  )
  const want: Uint8Array[] = []
  for (const each of parts) {
    if (each.kind === 'write') staged.write(each.bytes)
    else if (each.kind === 'hole') staged.hole(each.length)
    else staged.share(source.subarray(each.from, each.from + each.length), fd, each.from)
    want.push(
      each.kind === 'write'
        ? each.bytes
        : each.kind === 'hole'
          ? Buffer.alloc(each.length)
          : source.subarray(each.from, each.from + each.length),
    )
  }
  staged.finish(digest)
  closeSync(fd)
  return [readFileSync(`${path}-done`), Buffer.concat(want)]
}

test('a file is what was written to it, shared with it and left out of it', () => {
  using folder = scratch('staged')
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const [got, want] = stageParts(folder.path, parts)
      assert.ok(got.equals(want), `${got.length} bytes, expected ${want.length}`)
    }),
  )
})

/** Bytes that the file system has given out, once everything is on the disk. */
function usedBytes(path: string): number {
  execFileSync('sync', ['-f', path])
  const { blocks, bfree, bsize } = statfsSync(path)
  return (blocks - bfree) * bsize
}

for (const [name, mkfs] of [
  ['XFS', xfs],
  ['btrfs', btrfs],
] as const)
  test(`${name} stores shared blocks once`, { skip: needsLoop || needsPrograms(mkfs[0]) }, () => {
    using folder = scratch('staged')
    using disk = new LoopDisk(folder.path, 400 * 2 ** 20, mkfs)
    const large = noise(16 * 2 ** 20, 2)
    writeFileSync(`${disk.path}/source`, large)
    const before = usedBytes(disk.path)
    const fd = openSync(`${disk.path}/source`, 'r')
    const path = `${disk.path}/staged`
    const staged = new StagedFile(
      openSync(path, 'w'),
      path,
      () => path,
      (action) => new Error(action),
    )
    // A megabyte in the middle is new, of no whole number of blocks, and replaces as much of the old.
    const [from, length] = [5_000_003, 1_000_001]
    const fresh = noise(length, 3)
    for (let at = 0; at < from; at += 100_000) staged.share(large.subarray(at, Math.min(from, at + 100_000)), fd, at)
    staged.write(fresh)
    staged.share(large.subarray(from + length), fd, from + length)
    staged.finish(digest)
    closeSync(fd)
    const want = Buffer.concat([large.subarray(0, from), fresh, large.subarray(from + length)])
    assert.ok(readFileSync(path).equals(want))
    const grown = usedBytes(disk.path) - before
    assert.ok(grown < 2 * length, `${grown} bytes for ${length} new ones`)
  })
