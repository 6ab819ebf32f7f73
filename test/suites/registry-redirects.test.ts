import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { type Fault, type Seen, startFaultProxy } from '../servers/fault-proxy.ts'
import { type FaultySource, ann, behind, collect, everyBlob, failure, faultySuite } from '../servers/faulty-registry.ts'
import { closeServer, listenOn, makeKeyPair } from '../servers/registry.ts'
import { registrySource } from '../../src/sources/registry/registry.ts'

faultySuite('a registry that sends its readers elsewhere', (registry) => {
  const elsewhere = { address: '127.0.0.2' }
  const secret = '?X-Signature=sesame'

  /** A registry that wants a password, sending its blobs' readers to `location`. */
  const redirecting = (location: (path: string) => string, options = {}): Promise<FaultySource> =>
    behind(
      registry.guarded,
      (seen) =>
        seen.path.includes('/blobs/') ? { status: 307, headers: { location: location(seen.path) } } : undefined,
      { credentials: ann, ...options },
    )

  test('to another host carries no credentials', async () => {
    await using storage = await startFaultProxy(registry.open.host, () => undefined, elsewhere)
    await using setup = await redirecting((path) => `http://ann:sesame@${storage.host}${path}${secret}#part`)
    await setup.source.resolve()
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.equal(setup.proxy.seen.at(-1)?.headers.authorization?.startsWith('Basic '), true)
    const [seen] = storage.seen
    assert.equal(seen?.headers.authorization, undefined)
    assert.equal(seen?.path, `/v2/app/blobs/${registry.layer.digest}${secret}`)
  })

  test('to another port carries no credentials', async () => {
    await using storage = await startFaultProxy(registry.open.host, () => undefined)
    await using setup = await redirecting((path) => `http://${storage.host}${path}`)
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.equal(storage.seen[0]?.headers.authorization, undefined)
  })

  test('to another host and back carries none either', async () => {
    let home = ''
    const back = (seen: Seen): Fault => ({ status: 302, headers: { location: `http://${home}${seen.path}?back` } })
    await using storage = await startFaultProxy(registry.open.host, back, elsewhere)
    await using setup = await behind(
      registry.guarded,
      (seen) => {
        if (!seen.path.includes('/blobs/')) return undefined
        if (seen.path.endsWith('?back')) return { status: 200, body: registry.bytes }
        return { status: 302, headers: { location: `http://${storage.host}${seen.path}` } }
      },
      { credentials: ann },
    )
    home = setup.proxy.host
    await setup.source.resolve()
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    const [returned] = setup.proxy.seen.filter((seen) => seen.path.endsWith('?back'))
    assert.equal(returned?.headers.authorization, undefined)
  })

  test('on the same host keeps them, relative or not', async () => {
    await using setup = await behind(
      registry.guarded,
      (seen) => {
        const [, digest = '', again] = /blobs\/([^?]*)(\?again)?$/.exec(seen.path) ?? []
        return digest === '' || again !== undefined
          ? undefined
          : { status: 308, headers: { location: `./${digest}?again` } }
      },
      { credentials: ann },
    )
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.match(setup.proxy.seen.at(-1)?.headers.authorization ?? '', /^Basic /)
  })

  test('that has expired is asked for again', async () => {
    const expired = (seen: Seen): Fault | undefined => (seen.before === 0 ? { status: 403, body: 'sesame' } : undefined)
    await using storage = await startFaultProxy(registry.open.host, expired, elsewhere)
    await using setup = await redirecting((path) => `http://${storage.host}${path}${secret}`)
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.deepEqual(setup.ranges(), ['-', '-'])
  })

  test('goes on where the storage broke off', async () => {
    const breaks = (seen: Seen): Fault | undefined => (seen.before === 0 ? { truncate: 1000 } : undefined)
    await using storage = await startFaultProxy(registry.open.host, breaks, elsewhere)
    await using setup = await redirecting((path) => `http://${storage.host}${path}`)
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.deepEqual(
      storage.seen.map((seen) => seen.headers.range),
      [undefined, 'bytes=1000-'],
    )
  })

  test('to a storage that asks for a password gets none', async () => {
    const asks = { status: 401, headers: { 'www-authenticate': 'Basic realm="sesame"' } }
    await using storage = await startFaultProxy(registry.open.host, () => asks, elsewhere)
    await using setup = await redirecting((path) => `http://${storage.host}${path}${secret}`)
    const error = await failure(collect(setup.source.blob(registry.layer)))
    assert.equal(error.code, 'NETWORK')
    assert.match(
      error.message,
      /http:\/\/127\.0\.0\.2:\d+\/v2\/app\/blobs\/sha256:[0-9a-f]{64} answers 401 on a redirect$/,
    )
    assert.deepEqual(
      storage.seen.map((seen) => seen.headers.authorization),
      [undefined, undefined, undefined],
    )
  })

  test('to a storage that names a token server of its own leads nobody there', async () => {
    await using evil = await startFaultProxy(registry.open.host, () => ({ status: 200, body: '{"token":"x"}' }))
    const asks = { status: 401, headers: { 'www-authenticate': `Bearer realm="${evil.url}/token"` } }
    await using storage = await startFaultProxy(registry.open.host, () => asks, elsewhere)
    await using setup = await redirecting((path) => `http://${storage.host}${path}`, { retry: { attempts: 2 } })
    assert.equal((await failure(collect(setup.source.blob(registry.layer)))).code, 'NETWORK')
    assert.equal(evil.seen.length, 0)
  })

  test('may lead over ten hops', async () => {
    const hop = (path: string): string => path.replace(/(\?\d*)?$/, (query) => `?${Number(query.slice(1)) + 1}`)
    await using setup = await behind(registry.open, (seen) =>
      seen.path.includes('/blobs/') && !seen.path.endsWith('?10')
        ? { status: 302, headers: { location: hop(seen.path) } }
        : undefined,
    )
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
  })

  const bad: readonly [name: string, location: string, found: RegExp][] = [
    ['in a circle', '?', /it redirects more than 10 times/],
    ['to a file', 'file:///etc/passwd', /no http\(s\) URL/],
    ['to nonsense', 'http://[', /no http\(s\) URL/],
  ]
  for (const [name, location, found] of bad)
    test(`${name} is refused`, async () => {
      await using setup = await behind(registry.open, everyBlob({ status: 302, headers: { location } }))
      const error = await failure(collect(setup.source.blob(registry.layer)))
      assert.equal(error.code, 'NETWORK')
      assert.match(error.message, found)
    })

  test('from https to http is refused, unless that does not matter', async () => {
    const keys = makeKeyPair(registry.folder.at('keys'), 'proxy')
    const fault = (seen: Seen): Fault | undefined =>
      seen.path.includes('/blobs/')
        ? { status: 307, headers: { location: `http://${registry.open.host}${seen.path}${secret}` } }
        : undefined
    {
      await using setup = await behind(registry.open, fault, { proxy: { tls: keys }, caFile: keys.cert })
      const error = await failure(collect(setup.source.blob(registry.layer)))
      assert.equal(error.code, 'NETWORK')
      assert.match(error.message, /it redirects from https to http \(http:\/\/127/)
    }
    await using setup = await behind(registry.open, fault, { proxy: { tls: keys }, insecure: true })
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
  })

  test('from http to https is followed', async () => {
    const keys = makeKeyPair(registry.folder.at('keys'), 'storage')
    await using storage = await startFaultProxy(registry.open.host, () => undefined, { tls: keys })
    await using setup = await redirecting((path) => `https://${storage.host}${path}`, { caFile: keys.cert })
    assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
    assert.equal(storage.seen[0]?.headers.authorization, undefined)
  })

  test('HTTP_PROXY is used, and not for this machine', async () => {
    await using proxy = await startFaultProxy(registry.open.host, () => undefined)
    const env = { HOME: '/nonexistent', HTTP_PROXY: proxy.url }
    await using far = registrySource('registry.invalid/app:one', { env, insecure: true, retry: { attempts: 1 } })
    assert.equal((await far.resolve()).descriptor.digest, registry.image.manifestDigest)
    assert.equal(proxy.seen.at(-1)?.path, 'http://registry.invalid/v2/app/manifests/one')
    const before = proxy.seen.length
    await using near = registrySource(`${registry.open.host}/app:one`, { env })
    await near.resolve()
    assert.equal(proxy.seen.length, before)
  })

  test('HTTPS_PROXY builds a tunnel', async () => {
    const keys = makeKeyPair(registry.folder.at('keys'), 'far')
    await using far = await startFaultProxy(registry.open.host, () => undefined, { tls: keys })
    const asked: string[] = []
    const proxy = createServer().on('connect', (request, client) => {
      asked.push(request.url ?? '')
      const tunnel = connect(Number(far.host.split(':')[1]), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n')
        client.pipe(tunnel).pipe(client)
      })
      client.on('error', () => tunnel.destroy())
    })
    const env = { HOME: '/nonexistent', https_proxy: `http://127.0.0.1:${await listenOn(proxy, '127.0.0.1')}` }
    const source = registrySource('registry.invalid/app:one', { env, insecure: true })
    assert.equal((await source.resolve()).descriptor.digest, registry.image.manifestDigest)
    assert.deepEqual(await collect(source.blob(registry.layer, { lent: true })), registry.bytes)
    await source[Symbol.asyncDispose]()
    assert.deepEqual(new Set(asked), new Set(['registry.invalid:443']))
    await closeServer(proxy)
  })

  test('a proxy URL that makes no sense is not shown', async () => {
    const env = { HOME: '/nonexistent', HTTPS_PROXY: 'http://ann:sesame@[' }
    await using far = registrySource('registry.invalid/app:one', { env })
    const error = await failure(far.resolve())
    assert.equal(error.code, 'NETWORK')
    assert.match(error.message, /no usable proxy URL/)
  })
})
