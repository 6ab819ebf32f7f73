import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fuzzImageNodes } from '../../../test/fuzz/image-nodes.ts'
import { DumpBytes } from '../dump/dump-bytes.ts'
import { parseDump } from '../dump/read-dump.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
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

const reader = (dump = text): ErofsReader =>
  new ErofsReader(writeErofs(parseDump(Buffer.from(dump, 'latin1'), { compat: true })).bytes)

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

  test('a directory of 200,000 names takes a moment', () => {
    const lines = Array.from({ length: 200_000 }, (_, i) => `/${i} 0 100644 1 0 0 0 0.0 - - -\n`)
    const image = reader(`/ 0 40755 2 0 0 0 0.0 - - -\n${lines.join('')}`)
    const began = performance.now()
    assert.equal([...imageNodes(image)].length, 200_001)
    assert.ok(performance.now() - began < 20_000)
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
    const image = Buffer.from(writeErofs(parseDump(Buffer.from(text, 'latin1'), { compat: true })).bytes)
    image.writeUInt32LE(0, 0)
    assert.throws(() => [...imageNodes(new ErofsReader(image))], { code: 'BAD_FORMAT' })
  })

  test('damaged images end in names or an OnefoldError', () => fuzzImageNodes(1, 300))
})
