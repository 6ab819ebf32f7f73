import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  type Fault,
  type FaultProxy,
  type FaultProxyOptions,
  type Seen,
  startFaultProxy,
} from '../../../test/fault-proxy.ts'
import { needsPrograms } from '../../../test/needs.ts'
import {
  type TestImage,
  type TestRegistry,
  makeImage,
  makeKeyPair,
  needsRegistry,
  noise,
  startRegistry,
  startTokenServer,
} from '../../../test/registry.ts'
import { scratch } from '../../../test/scratch.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/entry.ts'
import type { Source } from '../source.ts'
import { type RegistrySourceOptions, registrySource } from './registry.ts'

const users = { ann: 'open: sesame' }
const ann = { kind: 'basic', username: 'ann', password: users.ann } as const
/** Large enough for chunks to be lent, also after a cut. */
const size = 1_300_000
const denied = '{"errors":[{"code":"DENIED","message":"no \\"x\\"\\u001b\\n"}]}'
const secretQuery = '?key=sesame'

/** A source behind a faulty proxy; its pauses are recorded instead of slept. */
interface Setup extends AsyncDisposable {
  readonly source: Source
  readonly proxy: FaultProxy
  readonly slept: number[]
  /** The requests for blobs, as `Range` or `-`. */
  ranges(): string[]
}

suite('a registry behind a network that fails', { skip: needsRegistry || needsPrograms('htpasswd', 'openssl') }, () => {
  const folder = scratch('faults')
  let image: TestImage
  let layer: Descriptor
  let bytes: Buffer
  let registry: TestRegistry
  let guarded: TestRegistry
  let tokens: Awaited<ReturnType<typeof startTokenServer>>
  let tokenGuarded: TestRegistry

  before(async () => {
    image = makeImage(folder.at('image'), [{ a: noise(size) }])
    const [descriptor] = (JSON.parse(image.manifest.toString()) as { layers: Descriptor[] }).layers
    const [blob] = image.layers
    assert.ok(descriptor !== undefined && blob !== undefined)
    layer = descriptor
    bytes = blob
    tokens = await startTokenServer(folder.at('tokens'), users)
    registry = await startRegistry(folder.at('open'))
    guarded = await startRegistry(folder.at('basic'), { auth: 'basic', users })
    tokenGuarded = await startRegistry(folder.at('token'), { auth: tokens, users })
    await Promise.all([registry, guarded, tokenGuarded].map((each) => each.push(`oci:${image.folder}:one`, 'app:one')))
  })

  after(async () => {
    for (const each of [registry, guarded, tokenGuarded, tokens]) await each[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  async function behind(
    fault: (seen: Seen) => Fault | undefined,
    options: RegistrySourceOptions & { target?: TestRegistry; name?: string; proxy?: FaultProxyOptions } = {},
  ): Promise<Setup> {
    const slept: number[] = []
    const { target = registry, name = 'app:one', proxy: proxyOptions, retry, ...rest } = options
    const proxy = await startFaultProxy(target.host, fault, proxyOptions)
    const sleep = (milliseconds: number): Promise<void> => Promise.resolve(void slept.push(milliseconds))
    const source = registrySource(`${proxy.host}/${name}`, {
      env: { HOME: '/nonexistent' },
      stallTimeout: 10_000,
      ...rest,
      retry: { sleep, jitter: () => 1, ...retry },
    })
    const ranges = (): string[] =>
      proxy.seen.filter((seen) => seen.path.includes('/blobs/')).map((seen) => seen.headers.range ?? '-')
    const close = async (): Promise<void> => {
      await source[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
    }
    return { source, proxy, slept, ranges, [Symbol.asyncDispose]: close }
  }

  /** The fault of the nth request for a blob; none for the others. */
  function blobFaults(...faults: readonly (Fault | undefined)[]): (seen: Seen) => Fault | undefined {
    return (seen) => (seen.path.includes('/blobs/') ? faults[seen.before] : undefined)
  }

  const always = (fault: Fault) => (seen: Seen) => (seen.path.includes('/blobs/') ? fault : undefined)
  const manifestFault = (fault: Fault) => (seen: Seen) => (seen.path.includes('/manifests/') ? fault : undefined)

  for (const lent of [false, true])
    suite(`a blob arrives whole, in chunks that are ${lent ? 'lent' : 'given'}`, () => {
      const last = (): number => bytes.length - 1
      const cases: readonly [name: string, faults: () => (Fault | undefined)[], ranges: () => string[]][] = [
        ['without faults', () => [], () => ['-']],
        ['cut off in the middle', () => [{ truncate: 70_000 }], () => ['-', 'bytes=70000-']],
        ['cut off before the last byte', () => [{ truncate: last() }], () => ['-', `bytes=${last()}-`]],
        ['cut off before the first byte', () => [{ truncate: 0 }], () => ['-', '-']],
        [
          'cut off again and again',
          () => [{ truncate: 10_000 }, { truncate: 20_000 }, { truncate: 30_000 }],
          () => ['-', 'bytes=10000-', 'bytes=30000-', 'bytes=60000-'],
        ],
        ['silent in the middle', () => [{ stall: 70_000 }], () => ['-', 'bytes=70000-']],
        ['silent from the start', () => [{ stall: 0 }], () => ['-', '-']],
        ['in slow small pieces', () => [{ drip: { bytes: 130_000, every: 30 } }], () => ['-']],
        ['without Content-Length', () => [{ chunked: true }], () => ['-']],
        ['ended early without Content-Length', () => [{ chunked: true, truncate: 9 }], () => ['-', 'bytes=9-']],
        [
          'from a registry without ranges',
          () => [{ truncate: 70_000 }, { noRange: true }],
          () => ['-', 'bytes=70000-'],
        ],
        [
          'from a registry without ranges that breaks off again',
          () => [{ truncate: 70_000 }, { noRange: true, truncate: 90_000 }, { noRange: true }],
          () => ['-', 'bytes=70000-', 'bytes=90000-'],
        ],
        ['when a range is refused', () => [{ truncate: 70_000 }, { status: 416 }], () => ['-', 'bytes=70000-', '-']],
        [
          'when other bytes than asked for come',
          () => [{ truncate: 70_000 }, { headers: { 'content-range': `bytes 0-${last()}/${bytes.length}` } }],
          () => ['-', 'bytes=70000-', '-'],
        ],
        [
          'when a range comes without saying which',
          () => [{ truncate: 70_000 }, { headers: { 'content-range': undefined } }],
          () => ['-', 'bytes=70000-', '-'],
        ],
        ['labelled as compressed', () => [{ headers: { 'content-encoding': 'gzip' } }], () => ['-']],
        [
          'after 500, 502, 503 and 504',
          () => [500, 502, 503, 504].map((status) => ({ status })),
          () => Array(5).fill('-'),
        ],
      ]
      for (const [name, faults, ranges] of cases)
        test(name, async () => {
          const stallTimeout = name.startsWith('silent') ? 150 : 10_000
          await using setup = await behind(blobFaults(...faults()), { stallTimeout })
          assert.deepEqual(await collect(setup.source.blob(layer, { lent })), bytes)
          assert.deepEqual(setup.ranges(), ranges())
        })

      test('reset in the middle', async () => {
        await using setup = await behind(blobFaults({ reset: 70_000 }))
        assert.deepEqual(await collect(setup.source.blob(layer, { lent })), bytes)
        // A reset may overtake bytes that were sent before it.
        const [first, second = ''] = setup.ranges()
        assert.equal(first, '-')
        assert.match(second, /^bytes=\d{1,5}-$|^-$/)
      })

      test('from an offset, cut off', async () => {
        await using setup = await behind(blobFaults({ truncate: 5 }))
        assert.deepEqual(await collect(setup.source.blob(layer, { lent, offset: 100 })), bytes.subarray(100))
        assert.deepEqual(setup.ranges(), ['bytes=100-', 'bytes=105-'])
      })

      test('from an offset, without ranges', async () => {
        await using setup = await behind(always({ noRange: true }))
        assert.deepEqual(await collect(setup.source.blob(layer, { lent, offset: 150_000 })), bytes.subarray(150_000))
      })

      test('in more pieces than attempts, as long as each brings something', async () => {
        const pieces = Array.from({ length: 12 }, () => ({ truncate: 10_000 }))
        await using setup = await behind(blobFaults(...pieces), { retry: { attempts: 2 } })
        assert.deepEqual(await collect(setup.source.blob(layer, { lent })), bytes)
        assert.deepEqual(setup.slept, Array(12).fill(200))
      })

      test('to a reader slower than the stall timeout', async () => {
        await using setup = await behind(() => undefined, { stallTimeout: 150 })
        const chunks: Uint8Array[] = []
        for await (const chunk of setup.source.blob(layer, { lent })) {
          chunks.push(Buffer.from(chunk))
          if (chunks.length === 1) await new Promise((resolve) => setTimeout(resolve, 400))
        }
        assert.deepEqual(Buffer.concat(chunks), bytes)
        assert.deepEqual(setup.ranges(), ['-'])
      })
    })

  suite('a blob is refused', () => {
    const cases: readonly [name: string, fault: Fault, code: string, found: RegExp][] = [
      ['that never starts', { truncate: 0 }, 'NETWORK', /the connection broke off/],
      ['that stays silent', { stall: 0 }, 'NETWORK', /nothing came for 0.15 s/],
      ['whose length differs', { status: 200, body: 'short' }, 'DIGEST_MISMATCH', /expected \d+ bytes, .* has 5 bytes/],
      ['that is too long', { chunked: true, extra: 1 }, 'DIGEST_MISMATCH', /at least \d+ bytes/],
      ['that is always broken', { status: 503 }, 'NETWORK', /answers 503/],
      ['with 418', { status: 418 }, 'NETWORK', /answers 418/],
      ['with 206 unasked', { status: 206, body: 'x' }, 'NETWORK', /asked for no range/],
      ['with 204', { status: 204 }, 'NETWORK', /answers 204/],
      ['with 403', { status: 403, body: denied }, 'DENIED', /refuses us without credentials \(403: DENIED no "x" \)/],
      ['with 404', { status: 404, body: 'gone' }, 'NOT_FOUND', /answers 404$/],
      ['with 300 and nowhere to go', { status: 302 }, 'NETWORK', /answers 302/],
    ]
    for (const [name, fault, code, found] of cases)
      test(name, async () => {
        await using setup = await behind(always(fault), { retry: { attempts: 3 }, stallTimeout: 150 })
        const error = await failure(collect(setup.source.blob(layer)))
        assert.equal(error.code, code)
        assert.match(error.message, found)
        assert.ok(error.message.includes(`blob ${layer.digest} of ${setup.proxy.host}/app`), error.message)
        assert.ok(setup.slept.length <= 2)
      })

    test('that the registry has shorter than its manifest says', async () => {
      await using setup = await behind(blobFaults({ chunked: true }))
      const error = await failure(collect(setup.source.blob({ ...layer, size: layer.size + 1 })))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.match(error.message, new RegExp(`expected ${layer.size + 1} bytes, the registry has ${layer.size} bytes`))
    })

    test('whose ranges speak of another total', async () => {
      await using setup = await behind(blobFaults({ truncate: 9 }, { headers: { 'content-range': 'bytes 9-99/100' } }))
      const error = await failure(collect(setup.source.blob(layer)))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.match(error.message, /has 100 bytes/)
    })

    test('without ranges and broken always at the same byte, after so many tries', async () => {
      await using setup = await behind(always({ noRange: true, truncate: 9 }), { retry: { attempts: 4 } })
      assert.equal((await failure(collect(setup.source.blob(layer)))).code, 'NETWORK')
      assert.equal(setup.ranges().length, 4)
    })
  })

  suite('a server that wants patience', () => {
    test('Retry-After in seconds is honoured', async () => {
      await using setup = await behind(blobFaults({ status: 429, headers: { 'retry-after': '7' } }))
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.deepEqual(setup.slept, [7000])
    })

    test('Retry-After as a date is honoured, up to a limit', async () => {
      const date = new Date(Date.now() + 3_600_000).toUTCString()
      await using setup = await behind(blobFaults({ status: 503, headers: { 'retry-after': date } }))
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.deepEqual(setup.slept, [60_000])
    })

    test('429 without it backs off', async () => {
      await using setup = await behind(blobFaults({ status: 429 }, { status: 429 }, { status: 429 }))
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.deepEqual(setup.slept, [200, 400, 800])
    })

    test('manifests are tried again as well', async () => {
      await using setup = await behind(
        (seen) => {
          if (!seen.path.includes('/manifests/')) return undefined
          return [{ status: 429 }, { truncate: 10 }, { stall: 10 }, { stall: 0 }][seen.before]
        },
        { stallTimeout: 150 },
      )
      assert.deepEqual(Buffer.from((await setup.source.resolve()).bytes), image.manifest)
      assert.ok(setup.slept.length >= 4)
    })

    test('an endless 429 ends with a hint', async () => {
      await using setup = await behind(always({ status: 429 }), { retry: { attempts: 2 } })
      const error = await failure(collect(setup.source.blob(layer)))
      assert.match(error.message, /answers 429/)
      assert.match(error.hint ?? '', /limits requests/)
    })

    test('an abort ends the pause', async () => {
      const retry = { sleep: undefined, firstDelay: 60_000 }
      await using setup = await behind(always({ status: 503 }), { retry })
      const signal = AbortSignal.timeout(50)
      await assert.rejects(collect(setup.source.blob(layer, { signal })), { name: 'TimeoutError' })
    })

    test('an abort ends a silence', async () => {
      await using setup = await behind(always({ stall: 100 }), { stallTimeout: 60_000 })
      const signal = AbortSignal.timeout(50)
      await assert.rejects(collect(setup.source.blob(layer, { signal })), { name: 'TimeoutError' })
    })
  })

  suite('a manifest', () => {
    for (const type of [undefined, 'text/plain', 'application/json; charset=utf-8', 'application/octet-stream'])
      test(`with Content-Type ${type} is what it says itself`, async () => {
        await using setup = await behind(manifestFault({ headers: { 'content-type': type } }))
        const { descriptor } = await setup.source.resolve()
        assert.equal(descriptor.mediaType, 'application/vnd.oci.image.manifest.v1+json')
        assert.equal(descriptor.digest, image.manifestDigest)
      })

    test('has the digest of its bytes, whatever the registry says', async () => {
      const lie = { headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } }
      await using setup = await behind(manifestFault(lie))
      assert.equal((await setup.source.resolve()).descriptor.digest, image.manifestDigest)
    })

    test('asked for by digest must have it', async () => {
      await using setup = await behind(manifestFault({ flip: 20 }), { name: `app@${image.manifestDigest}` })
      const error = await failure(setup.source.resolve())
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.ok(error.message.includes(image.manifestDigest))
    })

    test('compressed although nobody asked is unpacked', async () => {
      const body = gzipSync(image.manifest)
      await using setup = await behind(manifestFault({ status: 200, body, headers: { 'content-encoding': 'gzip' } }))
      assert.deepEqual(Buffer.from((await setup.source.resolve()).bytes), image.manifest)
    })

    test('that unpacks to too much is refused', async () => {
      const body = gzipSync(Buffer.alloc(5 * 1024 * 1024))
      await using setup = await behind(manifestFault({ status: 200, body, headers: { 'content-encoding': 'gzip' } }))
      assert.equal((await failure(setup.source.resolve())).code, 'LIMIT')
    })

    for (const chunked of [false, true])
      test(`of 10 MB is refused ${chunked ? 'without' : 'with'} Content-Length`, async () => {
        await using setup = await behind(manifestFault({ status: 200, body: Buffer.alloc(10_000_000), chunked }))
        const error = await failure(setup.source.resolve())
        assert.equal(error.code, 'LIMIT')
        assert.match(error.message, /expected at most 4194304 bytes, the registry sends more/)
      })
  })

  suite('a config', () => {
    test('with a wrong byte is refused', async () => {
      await using setup = await behind(always({ flip: 5 }))
      const { config } = JSON.parse(image.manifest.toString()) as { config: Descriptor }
      const error = await failure(setup.source.fetch(config))
      assert.equal(error.code, 'DIGEST_MISMATCH')
    })

    test('of another size is refused', async () => {
      await using setup = await behind(() => undefined)
      const { config } = JSON.parse(image.manifest.toString()) as { config: Descriptor }
      const error = await failure(setup.source.fetch({ ...config, size: config.size - 1 }))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.match(error.message, new RegExp(`expected ${config.size - 1} bytes, found ${config.size}`))
    })

    test('said to be huge is not asked for', async () => {
      await using setup = await behind(() => undefined)
      assert.equal((await failure(setup.source.fetch({ ...layer, size: 5_000_000 }))).code, 'LIMIT')
      assert.equal(setup.proxy.seen.length, 0)
    })
  })

  suite('a redirect', () => {
    const elsewhere = { address: '127.0.0.2' }
    const secret = '?X-Signature=sesame'

    /** A registry that wants a password, sending its blobs' readers to `location`. */
    const redirecting = (location: (path: string) => string, options = {}): Promise<Setup> =>
      behind(
        (seen) =>
          seen.path.includes('/blobs/') ? { status: 307, headers: { location: location(seen.path) } } : undefined,
        { target: guarded, credentials: ann, ...options },
      )

    test('to another host carries no credentials', async () => {
      await using storage = await startFaultProxy(registry.host, () => undefined, elsewhere)
      await using setup = await redirecting((path) => `http://ann:sesame@${storage.host}${path}${secret}#part`)
      await setup.source.resolve()
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.equal(setup.proxy.seen.at(-1)?.headers.authorization?.startsWith('Basic '), true)
      const [seen] = storage.seen
      assert.equal(seen?.headers.authorization, undefined)
      assert.equal(seen?.path, `/v2/app/blobs/${layer.digest}${secret}`)
    })

    test('to another port carries no credentials', async () => {
      await using storage = await startFaultProxy(registry.host, () => undefined)
      await using setup = await redirecting((path) => `http://${storage.host}${path}`)
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.equal(storage.seen[0]?.headers.authorization, undefined)
    })

    test('to another host and back carries none either', async () => {
      let home = ''
      const back = (seen: Seen): Fault => ({ status: 302, headers: { location: `http://${home}${seen.path}?back` } })
      await using storage = await startFaultProxy(registry.host, back, elsewhere)
      await using setup = await behind(
        (seen) => {
          if (!seen.path.includes('/blobs/')) return undefined
          if (seen.path.endsWith('?back')) return { status: 200, body: bytes }
          return { status: 302, headers: { location: `http://${storage.host}${seen.path}` } }
        },
        { target: guarded, credentials: ann },
      )
      home = setup.proxy.host
      await setup.source.resolve()
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      const [returned] = setup.proxy.seen.filter((seen) => seen.path.endsWith('?back'))
      assert.equal(returned?.headers.authorization, undefined)
    })

    test('on the same host keeps them, relative or not', async () => {
      await using setup = await behind(
        (seen) => {
          const [, digest = '', again] = /blobs\/([^?]*)(\?again)?$/.exec(seen.path) ?? []
          return digest === '' || again !== undefined
            ? undefined
            : { status: 308, headers: { location: `./${digest}?again` } }
        },
        { target: guarded, credentials: ann },
      )
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.match(setup.proxy.seen.at(-1)?.headers.authorization ?? '', /^Basic /)
    })

    test('that has expired is asked for again', async () => {
      const expired = (seen: Seen): Fault | undefined =>
        seen.before === 0 ? { status: 403, body: 'sesame' } : undefined
      await using storage = await startFaultProxy(registry.host, expired, elsewhere)
      await using setup = await redirecting((path) => `http://${storage.host}${path}${secret}`)
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.deepEqual(setup.ranges(), ['-', '-'])
    })

    test('goes on where the storage broke off', async () => {
      const breaks = (seen: Seen): Fault | undefined => (seen.before === 0 ? { truncate: 1000 } : undefined)
      await using storage = await startFaultProxy(registry.host, breaks, elsewhere)
      await using setup = await redirecting((path) => `http://${storage.host}${path}`)
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.deepEqual(
        storage.seen.map((seen) => seen.headers.range),
        [undefined, 'bytes=1000-'],
      )
    })

    test('to a storage that asks for a password gets none', async () => {
      const asks = { status: 401, headers: { 'www-authenticate': 'Basic realm="sesame"' } }
      await using storage = await startFaultProxy(registry.host, () => asks, elsewhere)
      await using setup = await redirecting((path) => `http://${storage.host}${path}${secret}`, {
        retry: { attempts: 3 },
      })
      const error = await failure(collect(setup.source.blob(layer)))
      assert.equal(error.code, 'NETWORK')
      assert.match(
        error.message,
        /http:\/\/127\.0\.0\.2:\d+\/v2\/app\/blobs\/sha256:[0-9a-f]{64} answers 401 on a redirect$/,
      )
      assert.deepEqual(new Set(storage.seen.map((seen) => seen.headers.authorization)), new Set([undefined]))
    })

    test('may lead over ten hops', async () => {
      const hop = (path: string): string => path.replace(/(\?\d*)?$/, (query) => `?${Number(query.slice(1)) + 1}`)
      await using setup = await behind((seen) =>
        seen.path.includes('/blobs/') && !seen.path.endsWith('?10')
          ? { status: 302, headers: { location: hop(seen.path) } }
          : undefined,
      )
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
    })

    const bad: readonly [name: string, location: string, found: RegExp][] = [
      ['in a circle', '?', /it redirects more than 10 times/],
      ['to a file', 'file:///etc/passwd', /no http\(s\) URL/],
      ['to nonsense', 'http://[', /no http\(s\) URL/],
    ]
    for (const [name, location, found] of bad)
      test(`${name} is refused`, async () => {
        await using setup = await behind(always({ status: 302, headers: { location } }))
        const error = await failure(collect(setup.source.blob(layer)))
        assert.equal(error.code, 'NETWORK')
        assert.match(error.message, found)
      })

    test('from https to http is refused, unless that does not matter', async () => {
      const keys = makeKeyPair(folder.at('keys'), 'proxy')
      const fault = (seen: Seen): Fault | undefined =>
        seen.path.includes('/blobs/')
          ? { status: 307, headers: { location: `http://${registry.host}${seen.path}${secret}` } }
          : undefined
      {
        await using setup = await behind(fault, { proxy: { tls: keys }, caFile: keys.cert })
        const error = await failure(collect(setup.source.blob(layer)))
        assert.equal(error.code, 'NETWORK')
        assert.match(error.message, /it redirects from https to http \(http:\/\/127/)
      }
      await using setup = await behind(fault, { proxy: { tls: keys }, insecure: true })
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
    })

    test('from http to https is followed', async () => {
      const keys = makeKeyPair(folder.at('keys'), 'storage')
      await using storage = await startFaultProxy(registry.host, () => undefined, { tls: keys })
      await using setup = await redirecting((path) => `https://${storage.host}${path}`, { caFile: keys.cert })
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.equal(storage.seen[0]?.headers.authorization, undefined)
    })
  })

  suite('credentials', () => {
    test('are shown only once they are asked for', async () => {
      await using setup = await behind(() => undefined, { credentials: ann })
      await setup.source.resolve()
      assert.deepEqual(
        setup.proxy.seen.map((seen) => seen.headers.authorization),
        [undefined, undefined],
      )
    })

    test('are renewed once when a pull is refused half way', async () => {
      const realm = `Bearer realm="${tokens.realm}",service="${tokens.service}"`
      const refusal = { status: 401, headers: { 'www-authenticate': realm } }
      await using setup = await behind(blobFaults({ truncate: 70_000 }, refusal), {
        target: tokenGuarded,
        credentials: ann,
      })
      await setup.source.resolve()
      const asked = tokens.asked.length
      assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
      assert.equal(tokens.asked.length - asked, 1)
      assert.deepEqual(setup.ranges(), ['-', 'bytes=70000-', 'bytes=70000-'])
    })

    test('are renewed once for many that are refused at the same time', async () => {
      const realm = `Bearer realm="${tokens.realm}",service="${tokens.service}"`
      const old = new Set<string | undefined>()
      const refuse = (seen: Seen): Fault | undefined =>
        old.has(seen.headers.authorization) ? { status: 401, headers: { 'www-authenticate': realm } } : undefined
      await using setup = await behind(refuse, { target: tokenGuarded, credentials: ann })
      await setup.source.resolve()
      old.add(setup.proxy.seen.at(-1)?.headers.authorization)
      const asked = tokens.asked.length
      const read = await Promise.all(Array.from({ length: 8 }, () => collect(setup.source.blob(layer))))
      for (const one of read) assert.deepEqual(one, bytes)
      assert.equal(tokens.asked.length - asked, 1)
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
        await using setup = await behind(manifestFault(fault), { credentials: ann })
        const error = await failure(setup.source.resolve())
        assert.equal(error.code, code)
        assert.match(error.message, found)
        for (const seen of setup.proxy.seen) assert.equal(seen.headers.authorization, undefined)
      })

    const answers: readonly [name: string, fault: Fault, code: string, found: RegExp][] = [
      ['no JSON', { status: 200, body: 'sesame' }, 'NETWORK', /is no JSON/],
      ['no token', { status: 200, body: '{"sesame":1}' }, 'NETWORK', /has no token/],
      ['null', { status: 200, body: 'null' }, 'NETWORK', /has no token/],
      ['a header', { status: 200, body: '{"token":"a\\r\\nsesame: b"}' }, 'NETWORK', /no header may have/],
      ['2 MB', { status: 200, body: Buffer.alloc(2_000_000) }, 'LIMIT', /at most 1048576 bytes/],
      ['404', { status: 404 }, 'NETWORK', /the token server .* answers 404/],
      ['403', { status: 403 }, 'DENIED', /the token server .* answers 403/],
      ['503', { status: 503 }, 'NETWORK', /the token server .* answers 503/],
    ]
    for (const [name, fault, code, found] of answers)
      test(`a token server that answers ${name}`, async () => {
        await using server = await startFaultProxy(registry.host, () => fault)
        const challenge = { 'www-authenticate': `Bearer realm="${server.url}/token${secretQuery}"` }
        await using setup = await behind(manifestFault({ status: 401, headers: challenge }), { credentials: ann })
        const error = await failure(setup.source.resolve())
        assert.equal(error.code, code)
        assert.match(error.message, found)
      })
  })

  test('a registry that refuses HEAD is never asked that way', async () => {
    await using setup = await behind((seen) => (seen.method === 'HEAD' ? { status: 405 } : undefined))
    await setup.source.resolve()
    assert.deepEqual(await collect(setup.source.blob(layer)), bytes)
    assert.deepEqual([...new Set(setup.proxy.seen.map((seen) => seen.method))], ['GET'])
  })

  test('HTTP_PROXY is used, and not for this machine', async () => {
    await using proxy = await startFaultProxy(registry.host, () => undefined)
    const env = { HOME: '/nonexistent', HTTP_PROXY: proxy.url }
    await using far = registrySource('registry.invalid/app:one', { env, insecure: true, retry: { attempts: 1 } })
    assert.equal((await far.resolve()).descriptor.digest, image.manifestDigest)
    assert.equal(proxy.seen.at(-1)?.path, 'http://registry.invalid/v2/app/manifests/one')
    const before = proxy.seen.length
    await using near = registrySource(`${registry.host}/app:one`, { env })
    await near.resolve()
    assert.equal(proxy.seen.length, before)
  })

  test('a proxy URL that makes no sense is not shown', async () => {
    const env = { HOME: '/nonexistent', HTTPS_PROXY: 'http://ann:sesame@[' }
    await using far = registrySource('registry.invalid/app:one', { env })
    const error = await failure(far.resolve())
    assert.equal(error.code, 'NETWORK')
    assert.match(error.message, /no usable proxy URL/)
  })
})

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

/** The error of a promise that must fail; none may show what is secret in these tests. */
async function failure(promise: Promise<unknown>): Promise<OnefoldError> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof OnefoldError, String(error))
    const shown = `${error.message} ${error.hint} ${String(error.cause)}`
    assert.doesNotMatch(shown, /sesame|c2VzYW1l/, 'a secret is shown')
    return error
  }
  throw new Error('it was no failure')
}
