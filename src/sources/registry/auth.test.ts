import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Fault, type Seen, startFaultProxy } from '../../../test/servers/fault-proxy.ts'
import {
  ann,
  behind,
  blobFaults,
  collect,
  everyManifest,
  failure,
  faultySuite,
} from '../../../test/servers/faulty-registry.ts'

const secretQuery = '?key=sesame'

faultySuite('a registry that asks who we are', (registry) => {
  test('are shown only once they are asked for', async () => {
    await using setup = await behind(registry.open, () => undefined, { credentials: ann })
    await setup.source.resolve()
    assert.deepEqual(
      setup.proxy.seen.map((seen) => seen.headers.authorization),
      [undefined, undefined],
    )
  })

  test('are renewed once when a pull is refused half way', async () => {
    const realm = `Bearer realm="${registry.tokens.realm}",service="${registry.tokens.service}"`
    const refusal = { status: 401, headers: { 'www-authenticate': realm } }
    await using setup = await behind(registry.tokenGuarded, blobFaults({ truncate: 70_000 }, refusal), {
      credentials: ann,
    })
    await setup.source.resolve()
    const asked = registry.tokens.asked.length
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.equal(registry.tokens.asked.length - asked, 1)
    assert.deepEqual(setup.ranges(), ['-', 'bytes=70000-', 'bytes=70000-'])
  })

  test('are renewed once for many that are refused at the same time', async () => {
    const realm = `Bearer realm="${registry.tokens.realm}",service="${registry.tokens.service}"`
    const old = new Set<string | undefined>()
    const refuse = (seen: Seen): Fault | undefined =>
      old.has(seen.headers.authorization) ? { status: 401, headers: { 'www-authenticate': realm } } : undefined
    await using setup = await behind(registry.tokenGuarded, refuse, { credentials: ann })
    await setup.source.resolve()
    old.add(setup.proxy.seen.at(-1)?.headers.authorization)
    const asked = registry.tokens.asked.length
    const read = await Promise.all(Array.from({ length: 8 }, () => collect(setup.source.blob(registry.layer))))
    for (const one of read) assert.deepEqual(one, registry.bytes)
    assert.equal(registry.tokens.asked.length - asked, 1)
  })

  const challenges: readonly [name: string, challenge: string | undefined, code: string, found: RegExp][] = [
    ['a token server in the clear', 'Bearer realm="http://auth.example/t"', 'DENIED', /not sent in the clear/],
    ['a token server nowhere', 'Bearer service="x"', 'NETWORK', /no token server/],
    ['a token server that is a file', 'Bearer realm="file:///x"', 'NETWORK', /no token server/],
    ['an unknown way in', 'Negotiate', 'NETWORK', /without a challenge we know/],
    ['no challenge', undefined, 'NETWORK', /without a challenge we know/],
  ]
  for (const [name, challenge, code, found] of challenges)
    test(`are kept from ${name}`, async () => {
      const fault = { status: 401, headers: { 'www-authenticate': challenge } }
      await using setup = await behind(registry.open, everyManifest(fault), { credentials: ann })
      const error = await failure(setup.source.resolve())
      assert.equal(error.code, code)
      assert.match(error.message, found)
      for (const seen of setup.proxy.seen) assert.equal(seen.headers.authorization, undefined)
    })

  const answers: readonly [name: string, fault: Fault, code: string, found: RegExp][] = [
    ['no JSON', { status: 200, body: 'sesame' }, 'NETWORK', /is no JSON/],
    ['no token', { status: 200, body: '{"sesame":1}' }, 'NETWORK', /has no token/],
    ['null', { status: 200, body: 'null' }, 'NETWORK', /is no JSON object/],
    ['a header', { status: 200, body: '{"token":"a\\r\\nsesame: b"}' }, 'NETWORK', /no header may have/],
    ['2 MB', { status: 200, body: Buffer.alloc(2_000_000) }, 'LIMIT', /at most 1048576 bytes/],
    ['404', { status: 404 }, 'NETWORK', /the token server .* answers 404/],
    ['403', { status: 403 }, 'DENIED', /the token server .* answers 403/],
    ['503', { status: 503 }, 'NETWORK', /the token server .* answers 503/],
  ]
  for (const [name, fault, code, found] of answers)
    test(`a token server that answers ${name}`, async () => {
      await using server = await startFaultProxy(registry.open.host, () => fault)
      const challenge = { 'www-authenticate': `Bearer realm="${server.url}/token${secretQuery}"` }
      await using setup = await behind(registry.open, everyManifest({ status: 401, headers: challenge }), {
        credentials: ann,
      })
      const error = await failure(setup.source.resolve())
      assert.equal(error.code, code)
      assert.match(error.message, found)
    })
})
