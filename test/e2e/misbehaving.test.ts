import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import type { OnefoldError } from '../../src/error.ts'
import type { RegistryOptions } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/registry.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { pushImage } from '../../src/transfer/send/push-image.ts'
import { type Fault, type Seen, startFaultProxy } from '../servers/fault-proxy.ts'
import {
  type Faults,
  type FaultySource,
  type FaultySourceOptions,
  ann,
  behind,
  failure,
  faultySuite,
} from '../servers/faulty-registry.ts'
import { makeImage, noise } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'

/** Whole pulls and pushes of Docker's registry behind a proxy that spoils them; parts of it are tested beside the client. */

/** Only who waits for silence should be impatient: a busy machine is silent now and then. */
function quick(name: string): { stallTimeout: number; retry: { attempts: number; sleep: () => Promise<void> } } {
  return {
    stallTimeout: /stall|silence/.test(name) ? 500 : 20_000,
    retry: { attempts: 4, sleep: async () => undefined },
  }
}

/** The nth request of a kind fails, in order of arrival. */
function spoiling(isMeant: (seen: Seen) => boolean, ...faults: readonly Fault[]): Faults {
  const left = [...faults]
  return (seen) => (isMeant(seen) ? left.shift() : undefined)
}

const isBlob = ({ path, method }: Seen): boolean => path.includes('/blobs/sha256:') && method === 'GET'
const isManifest = ({ path }: Seen): boolean => path.includes('/manifests/')
const isUpload = (method: string) => (seen: Seen) => seen.method === method && seen.path.includes('/blobs/uploads/')

faultySuite('a pull', (registry) => {
  /** What comes into an empty store, or the error that is given instead; then nothing is left behind. */
  async function pulled(source: FaultySource['source'], root: string): Promise<Store> {
    const store = await openStore(root)
    try {
      await pull(store, source, { name: 'app' })
    } catch (error) {
      assert.deepEqual([store.list(), readdirSync(`${root}/tmp`)], [[], []])
      await store[Symbol.asyncDispose]()
      throw error
    }
    return store
  }

  const isLayer = (seen: Seen): boolean => seen.path.endsWith(registry.layer.digest)
  const withAnn: FaultySourceOptions = { credentials: ann }
  const refusal = (): Fault => ({
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${registry.tokens.realm}",service="${registry.tokens.service}"` },
  })
  const survived: readonly [name: string, faults: () => Faults, guarded?: boolean][] = [
    ['truncation', () => spoiling(isBlob, { truncate: 100 }, { truncate: 100_000 }, { truncate: 1 })],
    ['resets', () => spoiling(isBlob, { reset: 100 }, { reset: 90_000 })],
    ['a stall', () => spoiling(isLayer, { stall: 400_000 })],
    ['a slow drip', () => spoiling(isLayer, { drip: { bytes: 50_000, every: 20 } })],
    ['5xx', () => spoiling(isBlob, { status: 500 }, { status: 503 })],
    ['5xx for manifests', () => spoiling(isManifest, { status: 502 }, { status: 504 })],
    ['429 with Retry-After', () => spoiling(isBlob, { status: 429, headers: { 'retry-after': '30' } })],
    ['429 without', () => spoiling(() => true, { status: 429 }, { status: 429 })],
    [
      'a 200 for a range',
      () => {
        const cut = spoiling(isLayer, { truncate: 500_000, noRange: true })
        return (seen) => cut(seen) ?? { noRange: true }
      },
    ],
    ['HEAD that is refused', () => (seen) => (seen.method === 'HEAD' ? { status: 405 } : undefined)],
    ['a token that runs out in between', () => spoiling(isLayer, { truncate: 300_000 }, refusal()), true],
  ]
  for (const [name, faults, guarded = false] of survived)
    test(`survives ${name}`, async () => {
      using place = scratch('misbehaving')
      const from = guarded ? registry.tokenGuarded : registry.open
      await using setup = await behind(from, faults(), { ...quick(name), ...(guarded ? withAnn : {}) })
      await using store = await pulled(setup.source, place.at('store'))
      const { record } = store.find('app')
      assert.deepEqual(
        [record.manifest.digest, record.layers[0]?.blob.digest],
        [registry.image.manifestDigest, registry.layer.digest],
      )
    })

  const ended: readonly [name: string, faults: () => Faults, code: string, blob: () => string][] = [
    [
      'wrong bytes in a layer',
      () => spoiling(isLayer, { flip: 700_000 }),
      'DIGEST_MISMATCH',
      () => registry.layer.digest,
    ],
    [
      'wrong bytes in a config',
      () => spoiling((seen) => seen.path.endsWith(registry.config.digest), { flip: 5 }),
      'DIGEST_MISMATCH',
      () => registry.config.digest,
    ],
    [
      'an endless 429',
      () => (seen) => (isLayer(seen) ? { status: 429 } : undefined),
      'NETWORK',
      () => registry.layer.digest,
    ],
    [
      'endless 5xx',
      () => (seen) => (isLayer(seen) ? { status: 503 } : undefined),
      'NETWORK',
      () => registry.layer.digest,
    ],
    ['silence', () => (seen) => (isLayer(seen) ? { stall: 0 } : undefined), 'NETWORK', () => registry.layer.digest],
  ]
  for (const [name, faults, code, blob] of ended)
    test(`ends in an error that names registry and blob: ${name}`, async () => {
      using place = scratch('misbehaving')
      await using setup = await behind(registry.open, faults(), quick(name))
      const error = await failure(pulled(setup.source, place.at('store')))
      assert.equal(error.code, code)
      assert.ok(error.message.includes(blob()) && error.message.includes(setup.proxy.host), error.message)
      assert.ok((error.hint ?? '') !== '', 'there is no way out')
    })

  test('of a tag that moves meanwhile gives one of both images whole, and the next one the other', async () => {
    using place = scratch('misbehaving')
    using next = scratch('misbehaving')
    const image = makeImage(next.at('image'), [{ b: noise(200_000) }])
    await registry.open.push(`oci:${registry.image.folder}:one`, 'moving:tag')
    let moving: Promise<unknown> | undefined
    await using proxy = await startFaultProxy(registry.open.host, (seen) => {
      if (isBlob(seen)) moving ??= registry.open.push(`oci:${image.folder}:one`, 'moving:tag')
      return undefined
    })
    const options = { env: { HOME: '/nonexistent' }, ...quick('tag') }
    await using source = registrySource(`${proxy.host}/moving:tag`, options)
    await using store = await pulled(source, place.at('store'))
    assert.equal(store.find('app').top.digest, registry.image.manifestDigest)
    await moving
    await using again = registrySource(`${proxy.host}/moving:tag`, options)
    await pull(store, again, { name: 'app' })
    assert.equal(store.find('app').top.digest, image.manifestDigest)
  })
})

faultySuite('a push', (registry) => {
  async function storeOfOne(root: string): Promise<Store> {
    const store = await openStore(root)
    await using source = await openSource(`oci:${registry.image.folder}:one`)
    await pull(store, source, { name: 'app' })
    return store
  }

  const refusal = (): Fault => ({
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${registry.tokens.realm}",service="${registry.tokens.service}"` },
  })
  const isLarge = (method: string) => (seen: Seen) =>
    isUpload(method)(seen) && Number(seen.headers['content-length']) > 1_000_000
  const broken = { resetAfter: 200_000 }
  const chunked = (...faults: readonly Fault[]): Faults => {
    const [puts, patches] = [spoiling(isLarge('PUT'), broken, broken), spoiling(isLarge('PATCH'), ...faults)]
    return (seen) => puts(seen) ?? patches(seen)
  }
  const survived: readonly [name: string, faults: () => Faults, guarded?: boolean][] = [
    ['a 429 without Retry-After', () => spoiling(isLarge('PUT'), { status: 429 })],
    ['a 500 for a whole blob', () => spoiling(isLarge('PUT'), { status: 500 }, { status: 502 })],
    [
      'silence after a whole blob',
      () => spoiling(isLarge('PUT'), { status: 201, stall: 0, headers: { 'content-length': '9' } }, { status: 503 }),
    ],
    ['a chunk that breaks off', () => chunked(broken)],
    ['a chunk whose session is lost', () => chunked({ status: 404 })],
    ['a chunk that meets a 503', () => chunked({ status: 503 })],
    ['a token that runs out in between', () => spoiling(isLarge('PUT'), refusal()), true],
  ]
  for (const [name, faults, guarded = false] of survived)
    test(`survives ${name}`, async () => {
      using place = scratch('misbehaving')
      await using store = await storeOfOne(place.at('store'))
      const to = guarded ? registry.tokenGuarded : registry.open
      let met = 0
      const fault = faults()
      await using proxy = await startFaultProxy(to.host, (seen) => {
        const found = fault(seen)
        if (found !== undefined) met++
        return found
      })
      const options: RegistryOptions = {
        env: { HOME: '/nonexistent' },
        ...quick(name),
        ...(guarded ? { credentials: ann } : {}),
      }
      const repository = `pushed/${name.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`
      const { top } = await pushImage(store, 'app', `${proxy.host}/${repository}:1`, { registry: options })
      assert.ok(met > 0, 'the fault was not met')
      await using source = registrySource(`${to.host}/${repository}:1`, { ...options, ...quick('back') })
      await using back = await openStore(place.at('back'))
      await pull(back, source, { name: 'back' })
      assert.deepEqual(
        [back.find('back').top.digest, back.find('back').record.config.digest],
        [top, registry.config.digest],
      )
    })

  const ended: readonly [name: string, faults: Faults][] = [
    ['an endless 429', (seen) => (isUpload('PUT')(seen) ? { status: 429 } : undefined)],
    ['endless 5xx', (seen) => (isUpload('POST')(seen) ? { status: 503 } : undefined)],
    [
      'connections that always break',
      (seen) => (isUpload('PUT')(seen) || isUpload('PATCH')(seen) ? { resetAfter: 1 } : undefined),
    ],
  ]
  for (const [name, faults] of ended)
    test(`ends in an error that names registry and blob: ${name}`, async () => {
      using place = scratch('misbehaving')
      await using store = await storeOfOne(place.at('store'))
      await using proxy = await startFaultProxy(registry.open.host, faults)
      const registryOptions: RegistryOptions = { env: { HOME: '/nonexistent' }, ...quick(name) }
      const error: OnefoldError = await failure(
        pushImage(store, 'app', `${proxy.host}/lost:1`, { registry: registryOptions }),
      )
      assert.equal(error.code, 'NETWORK')
      assert.match(error.message, /blob sha256:[0-9a-f]{64} to 127\.0\.0\.1:\d+\/lost/)
    })
})
