import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fuzzImageNodes } from '../../../test/fuzz/image-nodes.ts'
import { DumpBytes } from '../dump/dump-bytes.ts'
import { parseDump } from '../dump/read-dump.ts'
import type { EntrySpanVisitor } from '../erofs/erofs-directory.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import type { XattrSpans } from '../erofs/erofs-xattr-reader.ts'
import { writeErofs } from './write-image.ts'
import { imageNodes } from './image-nodes.ts'
import { listingLine, writeDumpLine } from '../../cli/composefs/print-listing.ts'

const object = 'ab/cd'
const digest = '12'.repeat(32)
const text = `\
/ 0 40755 3 1 2 0 3.4 - - - user.root=\\x01
/a\\x20dir 0 40700 2 0 0 0 -5.0 - - - trusted.overlay.opaque=y user.overlay.opaque=mine
/a\\x20dir/white 0 20600 1 0 0 0 3.4 - - -
/big 70000 100644 2 70000 0 0 3.4 ${object} - ${digest} user.a\\x3db=\\x3d
/dev 0 60600 1 0 0 271581951 3.4 - - -
/inline 3 100644 1 0 0 0 3.4 - a\\x20\\n -
/z 70000 @100644 2 70000 0 0 3.4 /big - ${digest} user.a\\x3db=\\x3d
/z\\xff 6 120777 1 0 0 0 3.4 /t\\x20\\xffa\\x3d - -
`

const imageOf = (dump: string): Uint8Array => writeErofs(parseDump(Buffer.from(dump, 'latin1'), { compat: true })).bytes
const reader = (dump = text): ErofsReader => new ErofsReader(imageOf(dump))
/** Devices in the root that hide the folders `00` to `ff` of objects. */
const stubs = 256

/** Counts what a walk reads of an image. */
class CountingReader extends ErofsReader {
  readonly reads = { inodes: 0, xattrs: 0, directories: 0, entries: 0 }

  override inode(nid: number): RawInode {
    this.reads.inodes++
    return super.inode(nid)
  }

  override readXattrs(inode: RawInode, into: XattrSpans): void {
    this.reads.xattrs++
    super.readXattrs(inode, into)
  }

  override entrySpans(inode: RawInode, visit: EntrySpanVisitor): void {
    this.reads.directories++
    super.entrySpans(inode, (...entry) => {
      this.reads.entries++
      visit(...entry)
    })
  }
}

function dumpOf(image: ErofsReader): string {
  const pieces: Buffer[] = []
  const out = new DumpBytes((bytes) => pieces.push(Buffer.from(bytes)))
  for (const node of imageNodes(image)) writeDumpLine(node, out)
  out.flush()
  return Buffer.concat(pieces).toString('latin1')
}

describe('the files of an image as composefs-info shows them', () => {
  test('dump: sizes of directories as stored, what overlayfs is told left out, marks of version 1 kept', () => {
    assert.equal(
      dumpOf(reader()),
      `\
/ 4096 40755 3 1 2 0 3.4 - - - user.root=\\x01
/a\\x20dir 44 40700 2 0 0 0 -5.0 - - - trusted.overlay.opaque=x user.overlay.opaque=x
/a\\x20dir/white 0 20600 1 0 0 0 3.4 - - -
/big 70000 100644 2 70000 0 0 3.4 ${object} - ${digest} user.a\\x3db=\\x3d
/dev 0 60600 1 0 0 271581951 3.4 - - -
/inline 3 100644 1 0 0 0 3.4 - a\\x20\\n -
/z 70000 @100644 2 70000 0 0 3.4 /big - ${digest} user.a\\x3db=\\x3d
/z\\xff 6 120777 1 0 0 0 3.4 /t\\x20\\xffa= - -
`,
    )
  })

  test('ls: what each name is and where it leads', () => {
    assert.equal(
      Array.from(imageNodes(reader()), (node) => listingLine(node) ?? '').join(''),
      `\
/a dir/\t
/a dir/white
/big\t@ ab/cd
/dev
/inline
/z
/z\\xff\t-> /t\\x20\\xffa=
`,
    )
  })

  test("a user's file with a whiteout's mark stays a file as long as it has something in it", () => {
    const dump = `/ 0 40755 2 0 0 0 0.0 - - -\n/f 2 100644 1 0 0 0 0.0 - hi - trusted.overlay.whiteout=\n`
    const [, file] = dumpOf(reader(dump)).split('\n')
    assert.equal(file, '/f 2 100644 1 0 0 0 0.0 - hi - trusted.overlay.whiteout=')
  })

  test('every inode and every directory of an image is read once, however many there are', () => {
    const folders = Array.from({ length: 100 }, (_, i) => [
      `/x${i} 0 40755 2 0 0 0 0.0 - - -\n`,
      ...Array.from({ length: 200 }, (_, j) => `/x${i}/${j} 0 100644 1 0 0 0 0.0 - - -\n`),
    ])
    const image = new CountingReader(imageOf(`/ 0 40755 2 0 0 0 0.0 - - -\n${folders.flat().join('')}`))
    assert.equal(Array.from(imageNodes(image)).length, 20_101)
    // Names are those of files, the two of each directory for itself and the one above, and the stubs of object folders.
    assert.deepEqual(image.reads, {
      inodes: 20_101 + stubs,
      xattrs: 20_101,
      directories: 101,
      entries: 20_100 + 202 + stubs,
    })
  })

  test('a filter takes names of the root; the first name that is left is the file', () => {
    const names = (only: string[]): string[] =>
      Array.from(imageNodes(reader(), new Set(only)), ({ path, pathEnd, linkTo }) => {
        return `${path.toString('latin1', 0, pathEnd)}${linkTo === undefined ? '' : '@'}`
      })
    assert.deepEqual(names(['a dir', 'nothing']), ['', '/a dir', '/a dir/white'])
    assert.deepEqual(names(['z', 'white']), ['', '/z'])
    assert.deepEqual(names(['z', 'big']), ['', '/big', '/z@'])
  })

  test('only composefs images', () => {
    const image = Buffer.from(imageOf(text))
    image.writeUInt32LE(0, 0)
    assert.throws(() => [...imageNodes(new ErofsReader(image))], { code: 'BAD_FORMAT' })
  })

  test('damaged images end in names or an OnefoldError', () => fuzzImageNodes(1, 300))
})
