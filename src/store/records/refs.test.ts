import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { randomDescriptor } from '../../../test/fuzz/store-files.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type Code, hasCode } from '../../error.ts'
import { decodeRef, encodeRef, formatRef, listRefs, parseRef, readRef } from './refs.ts'

const code = (want: Code) => (error: unknown) => hasCode(error, want)

describe('names as file names', () => {
  const names: [string, string][] = [
    ['alpine', 'alpine'],
    ['docker.io/library/alpine:3.20', 'docker.io%2Flibrary%2Falpine:3.20'],
    ['r.example:5000/a_b@sha256:00', 'r.example:5000%2Fa_b@sha256:00'],
    ['oci:/srv/my layout:v1', 'oci:%2Fsrv%2Fmy%20layout:v1'],
    ['.', '%2E'],
    ['..', '%2E.'],
    ['.hidden', '%2Ehidden'],
    ['100%', '100%25'],
    ['é', '%C3%A9'],
    ['~', '%7E'],
  ]
  for (const [name, encoded] of names)
    test(`${name} is ${encoded}`, () => {
      assert.equal(encodeRef(name), encoded)
      assert.equal(decodeRef(encoded), name)
    })

  for (const name of ['', 'a\nb', 'a\0b', '\x7f', '\ud800', 'x'.repeat(256), 'é'.repeat(43)])
    test(`${JSON.stringify(name.slice(0, 10))} (${name.length}) cannot be one`, () => {
      assert.throws(() => encodeRef(name), code('BAD_NAME'))
    })

  for (const file of ['', '%', '%2', '%2f', '%41', '.x', 'a b', 'é', '%FF', '%00', 'a/b'])
    test(`${JSON.stringify(file)} is none`, () => assert.equal(decodeRef(file), undefined))

  test('every name that can be encoded comes back, as one file name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }), (name) => {
        let encoded: string
        try {
          encoded = encodeRef(name)
        } catch (error) {
          return hasCode(error, 'BAD_NAME')
        }
        return decodeRef(encoded) === name && /^[A-Za-z0-9_.:@+=%-]{1,255}$/.test(encoded) && !encoded.startsWith('.')
      }),
    )
  })
})

test('descriptors read as they were written', () => {
  fc.assert(
    fc.property(randomDescriptor, (descriptor) => {
      assert.deepEqual({ ...parseRef(formatRef(descriptor), 'x') }, descriptor)
    }),
  )
})

describe('what lies in place of a ref', () => {
  test('a symlink, a folder or a pipe is damage, and nothing hangs', () => {
    using place = scratch('refs')
    mkdirSync(place.at('refs', 'folder'), { recursive: true })
    writeFileSync(place.at('secret'), '{"mediaType":"a","digest":"","size":1}')
    symlinkSync(place.at('secret'), place.at('refs', 'symlink'))
    symlinkSync('/nowhere', place.at('refs', 'dangling'))
    execFileSync('mkfifo', [place.at('refs', 'pipe')])
    for (const name of ['folder', 'symlink', 'dangling', 'pipe'])
      assert.throws(() => readRef(place.path, name), code('CORRUPT'), name)
  })

  test('names that are no refs are not listed', () => {
    using place = scratch('refs')
    mkdirSync(place.at('refs'))
    for (const name of ['good', '.x', 'a b', '%2f']) writeFileSync(place.at('refs', name), '')
    assert.deepEqual(listRefs(place.path), ['good'])
    assert.throws(() => readRef(place.path, 'good'), code('BAD_FORMAT'))
    assert.equal(readRef(place.path, 'absent'), undefined)
  })
})
