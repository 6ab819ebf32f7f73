import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatPlatform, hostPlatform, matchPlatform, parsePlatform } from './platform.ts'

describe('parsePlatform()', () => {
  const read: [text: string, normal: string][] = [
    ['linux/amd64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/aarch64', 'linux/arm64'],
    ['Linux/x86_64', 'linux/amd64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/i386', 'linux/386'],
    ['macos/arm64', 'darwin/arm64'],
    ['riscv64', 'linux/riscv64'],
    ['arm64', 'linux/arm64'],
  ]
  for (const [text, normal] of read) test(text, () => assert.equal(formatPlatform(parsePlatform(text)), normal))

  for (const text of [
    '',
    '/',
    'linux',
    'linux/',
    'linux/arm/v7/x',
    'arm/v7',
    'arm64/v8',
    'linux/a b',
    'linux/../x',
    `linux/${'x'.repeat(65)}`,
  ])
    test(`refuses ${JSON.stringify(text.slice(0, 20))}`, () =>
      assert.throws(() => parsePlatform(text), { code: 'USAGE' }))
})

describe('matchPlatform()', () => {
  /** Every offer in order of preference; what is not in the list does not run. */
  const preferences: [want: string, offers: string[]][] = [
    ['linux/amd64', ['linux/amd64/v1', 'linux/386']],
    ['linux/amd64/v3', ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64', 'linux/386']],
    ['linux/arm64', ['linux/arm64/v8', 'linux/arm/v8', 'linux/arm', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm64/v8.2', ['linux/arm64/v8.2', 'linux/arm64/v8.1', 'linux/arm64', 'linux/arm/v8', 'linux/arm/v5']],
    ['linux/arm64/v9', ['linux/arm64/v9', 'linux/arm64/v8.5', 'linux/arm64/v8.1', 'linux/arm64', 'linux/arm/v7']],
    ['linux/arm/v7', ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']],
    ['linux/arm/v6', ['linux/arm/v6', 'linux/arm/v5']],
    ['linux/386', ['linux/386']],
    ['linux/s390x', ['linux/s390x']],
  ]
  const all = [...new Set(preferences.flatMap(([, offers]) => offers))].map(parsePlatform)
  for (const [want, offers] of preferences)
    test(want, () => {
      const ranks = offers.map((offer) => matchPlatform(parsePlatform(want), parsePlatform(offer)))
      assert.equal(ranks[0], 0)
      assert.ok(
        ranks.every((rank, i) => rank !== undefined && rank >= (ranks[i - 1] ?? 0)),
        String(ranks),
      )
      assert.equal(new Set(ranks).size, ranks.length)
    })

  test('never the other way round, and never across systems', () => {
    const refused = ['linux/amd64/v2', 'linux/amd64/v3', 'linux/arm64', 'linux/s390x', 'windows/amd64', 'linux/arm/v7']
    for (const have of refused)
      assert.equal(matchPlatform(parsePlatform('linux/amd64'), parsePlatform(have)), undefined)
    assert.equal(matchPlatform(parsePlatform('linux/arm/v6'), parsePlatform('linux/arm/v7')), undefined)
    assert.equal(matchPlatform(parsePlatform('linux/arm64'), parsePlatform('linux/arm64/v9')), undefined)
    assert.equal(all.filter((have) => matchPlatform(parsePlatform('linux/s390x'), have) !== undefined).length, 1)
  })

  test('a variant with an absurd number is a name like any other', () => {
    const want = parsePlatform('linux/amd64/v999999999')
    assert.equal(matchPlatform(want, want), 0)
    assert.equal(matchPlatform(want, parsePlatform('linux/amd64')), undefined)
  })
})

test('hostPlatform() speaks the names of images', () => {
  const host = hostPlatform()
  assert.equal(host.os, 'linux')
  assert.equal(host.architecture, { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64' | 'arm64'])
  assert.deepEqual(parsePlatform(formatPlatform(host)), host)
})
