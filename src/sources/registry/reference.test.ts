import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fuzzReference } from '../../../test/fuzz/reference.ts'
import { OnefoldError } from '../../error.ts'
import { formatReference, isLoopback, parseReference, transportHost } from './reference.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const digest512 = `sha512:${'ab'.repeat(64)}`

const good: readonly [text: string, host: string, repository: string, tag: string | undefined, digest?: string][] = [
  ['debian', 'docker.io', 'library/debian', 'latest'],
  ['debian:12', 'docker.io', 'library/debian', '12'],
  ['a:5000', 'docker.io', 'library/a', '5000'],
  ['team/app', 'docker.io', 'team/app', 'latest'],
  ['team/app/part:1', 'docker.io', 'team/app/part', '1'],
  ['docker.io/debian', 'docker.io', 'library/debian', 'latest'],
  ['index.docker.io/debian', 'docker.io', 'library/debian', 'latest'],
  ['docker.io/library/debian', 'docker.io', 'library/debian', 'latest'],
  ['quay.io/a/b:V1_2.3-x', 'quay.io', 'a/b', 'V1_2.3-x'],
  ['Quay.IO/a/b', 'quay.io', 'a/b', 'latest'],
  ['localhost/a', 'localhost', 'a', 'latest'],
  ['localhost:5000/a:b', 'localhost:5000', 'a', 'b'],
  ['host:80/a', 'host:80', 'a', 'latest'],
  ['127.0.0.1:5000/a', '127.0.0.1:5000', 'a', 'latest'],
  ['[::1]:5000/a/b:c', '[::1]:5000', 'a/b', 'c'],
  ['[0:0:0:0:0:0:0:1]:05000/a', '[::1]:5000', 'a', 'latest'],
  ['[2001:db8::1]/a', '[2001:db8::1]', 'a', 'latest'],
  ['xn--bcher-kva.example/a', 'xn--bcher-kva.example', 'a', 'latest'],
  ['h.example/a.b_c__d-e---f/0', 'h.example', 'a.b_c__d-e---f/0', 'latest'],
  [`debian@${digest}`, 'docker.io', 'library/debian', undefined, digest],
  [`debian:12@${digest}`, 'docker.io', 'library/debian', '12', digest],
  [`h.example/a@${digest512}`, 'h.example', 'a', undefined, digest512],
  [`h.example/${'a'.repeat(245)}`, 'h.example', 'a'.repeat(245), 'latest'],
  [`h.example/a:${'t'.repeat(128)}`, 'h.example', 'a', 't'.repeat(128)],
]

for (const [text, host, repository, tag, expected] of good)
  test(`parseReference reads ${text.slice(0, 60)}`, () => {
    const reference = parseReference(text)
    assert.deepEqual(reference, { host, repository, tag, digest: expected })
    assert.deepEqual(parseReference(formatReference(reference)), reference)
  })

const bad: readonly [text: string, found: RegExp, hint?: RegExp][] = [
  ['', /the name is missing/],
  ['/', /the name is missing|no repository name/],
  [':tag', /the name is missing/],
  ['a:', /"" is no tag/],
  ['a:.x', /is no tag/],
  ['a:b:c', /"b:c" is no tag/],
  [`a:${'t'.repeat(129)}`, /its tag has 129 characters/],
  ['Debian', /lower case/, /Did you mean "debian"/],
  ['h.example/Team/app', /lower case/, /"h.example\/team\/app"/],
  ['a//b', /no repository name/],
  ['a/', /no repository name/],
  ['/a', /no repository name/],
  ['h.example/', /the name is missing/],
  ['a..b', /no repository name/],
  ['a___b', /no repository name/],
  ['-a', /no repository name/],
  ['a b', /no repository name/],
  ['a\n', /no repository name/],
  ['h.example/ä', /no repository name/],
  ['h.example/../a', /no repository name/],
  ['h_x.example/a', /is no host/],
  ['-h.example/a', /is no host/],
  ['h..example/a', /is no host/],
  ['h.example:0/a', /no port 0/],
  ['h.example:65536/a', /no port 65536/],
  ['h.example:/a', /is no host/],
  ['u:p@h.example/a', /is no digest/],
  ['[::1/a', /is no host/],
  ['[:::1]/a', /is no host/],
  ['127.1/a', /is no host/, /"127.0.0.1"/],
  ['0x7f.0.0.1:80/a', /is no host/, /"127.0.0.1"/],
  ['host.5/a', /is no host/],
  ['a@sha256:12', /is no digest/],
  [`a@${digest.toUpperCase()}`, /is no digest/],
  [`a@${digest}@${digest}`, /is no digest/],
  ['ab'.repeat(32), /bare digest/, /repository/],
  [`h.example/${'a'.repeat(246)}`, /256 characters, at most 255/],
  ['a'.repeat(10_000), /10000 characters/],
]

for (const [text, found, hint] of bad)
  test(`parseReference refuses ${JSON.stringify(text.slice(0, 60))}`, () => {
    assert.throws(
      () => parseReference(text),
      (error) => {
        assert.ok(error instanceof OnefoldError)
        assert.equal(error.code, 'BAD_NAME')
        assert.match(error.message, found)
        assert.ok(error.message.length < 600)
        if (hint !== undefined) assert.match(error.hint ?? '', hint)
        return true
      },
    )
  })

test('any reference put together from legal parts reads back', () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,8}$/)
  const separator = fc.constantFrom('.', '_', '__', '-', '--', '/')
  const name = fc.tuple(
    word,
    fc.array(
      fc.tuple(separator, word).map((pair) => pair.join('')),
      { maxLength: 5 },
    ),
  )
  const host = fc.constantFrom('docker.io', 'localhost', 'h.example:5000', '[::1]:5000', '10.0.0.1')
  const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined })
  const pin = fc.option(fc.constantFrom(digest, digest512), { nil: undefined })
  fc.assert(
    fc.property(host, name, tag, pin, (place, [first, rest], label, pinned) => {
      const text = `${place}/${first}${rest.join('')}${label ? `:${label}` : ''}${pinned ? `@${pinned}` : ''}`
      const reference = parseReference(text)
      assert.equal(reference.host, place)
      assert.deepEqual(parseReference(formatReference(reference)), reference)
    }),
    { seed: 1, numRuns: 300 },
  )
})

test('fuzz: parseReference gives a reference or BAD_NAME', () => fuzzReference(1, 3000))

test('isLoopback knows this machine and nothing else', () => {
  for (const host of ['localhost', 'localhost:5000', '127.0.0.1', '127.255.0.3:1', '[::1]', '[::1]:80'])
    assert.equal(isLoopback(host), true, host)
  for (const host of ['localhost.example', '127.0.0.1.example:80', '128.0.0.1', '127.0.0.256', '[::2]', '0.0.0.0', 'a'])
    assert.equal(isLoopback(host), false, host)
})

test('transportHost: only Docker Hub lives elsewhere', () => {
  assert.equal(transportHost('docker.io'), 'registry-1.docker.io')
  assert.equal(transportHost('quay.io'), 'quay.io')
})
