import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Code, OnefoldError, hasCode } from '../error.ts'
import { looksLikePath, parseSourceName, transportExamples } from './source-name.ts'
import { parseReference } from './registry/reference.ts'

const digest = `sha256:${'ab'.repeat(32)}`

describe('parseSourceName() reads', () => {
  const layout = { image: undefined, digest: undefined }
  const archive = { reference: undefined, position: undefined }
  const read: [text: string, name: object][] = [
    ['alpine', { transport: 'docker', reference: parseReference('alpine') }],
    ['localhost:5000/a:1', { transport: 'docker', reference: parseReference('localhost:5000/a:1') }],
    ['docker://ghcr.io/a/b:1', { transport: 'docker', reference: parseReference('ghcr.io/a/b:1') }],
    ['docker://tar:5000/a', { transport: 'docker', reference: parseReference('tar:5000/a') }],
    [`a@${digest}`, { transport: 'docker', reference: parseReference(`a@${digest}`) }],
    ['oci:dir', { transport: 'oci', path: 'dir', ...layout }],
    ['oci:/a/b:1.2', { transport: 'oci', path: '/a/b', ...layout, image: '1.2' }],
    ['oci:dir:docker.io/library/a:1', { transport: 'oci', path: 'dir', ...layout, image: 'docker.io/library/a:1' }],
    [`oci:dir@${digest}`, { transport: 'oci', path: 'dir', ...layout, digest }],
    [`oci:a@b@${digest}`, { transport: 'oci', path: 'a@b', ...layout, digest }],
    ['oci:a@b', { transport: 'oci', path: 'a@b', ...layout }],
    ['oci-archive:x.tar:v1', { transport: 'oci-archive', path: 'x.tar', ...layout, image: 'v1' }],
    ['docker-archive:x.tar', { transport: 'docker-archive', path: 'x.tar', ...archive }],
    [
      'docker-archive:x.tar:a:1',
      { transport: 'docker-archive', path: 'x.tar', ...archive, reference: parseReference('a:1') },
    ],
    [
      'docker-archive:x.tar:a',
      { transport: 'docker-archive', path: 'x.tar', ...archive, reference: parseReference('a') },
    ],
    ['docker-archive:x.tar:@1', { transport: 'docker-archive', path: 'x.tar', ...archive, position: 1 }],
    ['dir:/a:b:c', { transport: 'dir', path: '/a:b:c' }],
    ['rootfs:/srv/a:b', { transport: 'rootfs', path: '/srv/a:b' }],
    ['tar:a:b.tar', { transport: 'tar', path: 'a:b.tar' }],
    ['tar:-', { transport: 'tar', path: '-' }],
  ]
  for (const [text, name] of read) test(text, () => assert.deepEqual(parseSourceName(text), name))

  test('every example', () => {
    for (const [transport, example] of Object.entries(transportExamples))
      assert.equal(parseSourceName(example).transport, transport)
  })
})

describe('parseSourceName() refuses', () => {
  const refused: [text: string, code: Code, message: RegExp, hint?: RegExp][] = [
    ['', 'BAD_NAME', /it is empty/, /docker:\/\/.*oci:.*rootfs:/],
    ['foo://a', 'BAD_NAME', /no transport "foo"/, /docker:\/\/.*oci:.*rootfs:/],
    ['docker:a', 'BAD_NAME', /two slashes/, /"docker:\/\/a"/],
    ['docker-daemon:a:1', 'UNSUPPORTED', /docker-daemon: is not one of ours/],
    ['containers-storage:a', 'UNSUPPORTED', /containers-storage/],
    ['/srv/layout', 'BAD_NAME', /path without transport/, /oci:\/srv\/layout/],
    ['./a.tar', 'BAD_NAME', /path without transport/, /tar:.\/a.tar/],
    ['..', 'BAD_NAME', /path without transport/],
    ['oci:', 'BAD_NAME', /path is empty/],
    ['oci::tag', 'BAD_NAME', /path is empty/],
    ['oci:dir:', 'BAD_NAME', /name after the last colon is empty/],
    [`oci:@${digest}`, 'BAD_NAME', /path is empty/],
    ['dir:', 'BAD_NAME', /path is empty/],
    ['tar:a\0b', 'BAD_NAME', /NUL/],
    ['docker-archive:x:@a', 'BAD_NAME', /"@a" is no position/, /@0/],
    ['docker-archive:x:A', 'BAD_NAME', /lower case/],
    [`docker-archive:x:a@${digest}`, 'BAD_NAME', /not digests/],
    ['a b', 'BAD_NAME', /no repository name/],
  ]
  for (const [text, code, message, hint] of refused)
    test(JSON.stringify(text), () =>
      assert.throws(
        () => parseSourceName(text),
        (error: Error) =>
          hasCode(error, code) && message.test(error.message) && (hint ?? /(?:)/).test(error.hint ?? ''),
      ),
    )
})

test('looksLikePath() is true of nothing that could be a reference', () => {
  for (const path of ['/', '/a', './a', '../a', '.', '..', '~/a']) assert.ok(looksLikePath(path), path)
  for (const name of ['a', 'a/b', '.a', 'a.b/c', '..a']) assert.ok(!looksLikePath(name), name)
})

test('any text is a name or BAD_NAME', () => {
  const part = fc.constantFrom(
    'oci:',
    'docker://',
    'docker-archive:',
    'tar:',
    ':',
    '@',
    '/',
    `@${digest}`,
    'a',
    '.',
    '\0',
    ' ',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(part).map((parts) => parts.join('')),
      ),
      (text) => {
        try {
          parseSourceName(text)
        } catch (error) {
          assert.ok(error instanceof OnefoldError && error.code === 'BAD_NAME', String(error))
        }
      },
    ),
  )
})
