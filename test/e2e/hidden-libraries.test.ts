import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nativeZlib, nativeZstd } from '../../src/codecs/native.ts'
import { type Ended, runOnefold } from '../fixtures/command.ts'
import { type TestCompression, file, makeImage } from '../fixtures/images.ts'
import { scratch } from '../fixtures/scratch.ts'
import { noise } from '../servers/registry.ts'

/** What onefold does on a Node that does not export its zlib and zstd, as one may be that a distribution builds. */

const layers = [[file('small', 'content'), file('large', noise(3_000_000)), file('text', Buffer.alloc(9999, 'text '))]]
const preload = new URL('../fixtures/hide-libraries.ts', import.meta.url).href

function onefold(store: string, hidden: boolean, ...args: string[]): Ended {
  const more = hidden ? { NODE_OPTIONS: `--import ${preload}` } : {}
  return runOnefold(['--store', store, ...args], { more })
}

function done(ended: Ended): string {
  assert.equal(ended.code, 0, ended.err)
  return ended.out
}

const hasSystem = nativeZlib.system() !== undefined && nativeZstd.system() !== undefined

describe('without exported libraries', { skip: !hasSystem && 'the system has no libz or libzstd' }, () => {
  for (const compress of ['gzip', 'zstd'] satisfies TestCompression[])
    test(`${compress} layers come to the same`, () => {
      using image = makeImage({ layers, compress })
      using place = scratch('hidden')
      done(onefold(place.at('store'), true, 'pull', image.name, '--name', 'app'))
      done(onefold(place.at('store'), false, 'fsck', '--rebuild'))
      assert.equal(done(onefold(place.at('store'), true, 'cat', 'app', '/small')), 'content')
    })

  test('members are the same, layers of one stream are refused', () => {
    using image = makeImage({ layers })
    using place = scratch('hidden')
    done(onefold(place.at('store'), false, 'pull', image.name, '--name', 'app'))
    for (const format of ['estargz', 'zstd-chunked', 'tar+zstd'])
      assert.equal(convert(format, true), convert(format, false), format)
    const refused = onefold(place.at('store'), true, 'export', 'app', `oci:${place.at('exported')}`)
    assert.notEqual(refused.code, 0)
    assert.match(refused.err, /this Node does not export its zlib/)
    done(onefold(place.at('store'), true, 'export', 'app', `docker-archive:${place.at('exported.tar')}`))

    function convert(format: string, hidden: boolean): string {
      const target = `oci:${place.at(`${format}-${hidden}`)}`
      return done(onefold(place.at('store'), hidden, 'convert', 'app', target, '--to', format))
    }
  })
})
