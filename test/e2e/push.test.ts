import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.ts'
import type { RegistryOptions } from '../../src/sources/registry/client.ts'
import { registrySource } from '../../src/sources/registry/registry.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { exportImage } from '../../src/transfer/send/export-image.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { type PushOptions, type PushResult, pushImage } from '../../src/transfer/send/push-image.ts'
import { type Fault, type Seen, startFaultProxy } from '../servers/fault-proxy.ts'
import { ann } from '../servers/faulty-registry.ts'
import { LayoutBuilder, type TestImage, directory, file, hardlink, makeImage, whiteout } from '../fixtures/images.ts'
import { needsPrograms } from '../fixtures/needs.ts'
import {
  type TestRegistry,
  type TokenServer,
  needsRegistry,
  noise,
  startRegistry,
  startTokenServer,
} from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'
import { type UploadHabits, startUploadRegistry } from '../servers/upload-registry.ts'

const nobody = { env: { HOME: '/nonexistent' }, retry: { sleep: async () => undefined } } as const
const users = { ann: ann.password }

function demoImage(compress: 'gzip' | 'zstd' = 'zstd'): TestImage {
  const big = Buffer.concat([noise(1_200_000), Buffer.alloc(500_000, 'text that compresses. ')])
  return makeImage({
    compress,
    annotations: { 'org.example.note': 'kept' },
    layers: [
      [directory('etc'), file('etc/gone', 'x'), file('etc/small', 'inline', { mode: 0o4755 }), file('a', big)],
      [whiteout('etc/gone'), hardlink('etc/same', 'a'), file('b', big.subarray(9))],
    ],
  })
}

async function storeWith(folder: string, name: string): Promise<Store> {
  const store = await openStore(folder)
  await using source = await openSource(name)
  await pull(store, source, { name: 'app', allPlatforms: true })
  return store
}

function push(store: Store, reference: string, options: PushOptions = {}): Promise<PushResult> {
  return pushImage(store, 'app', reference, { registry: nobody, ...options })
}

/** What comes back of a reference, in a new store. */
async function pulledBack(folder: string, reference: string, options: RegistryOptions = nobody): Promise<Store> {
  const store = await openStore(folder)
  await using source = registrySource(reference, options)
  await pull(store, source, { name: 'back', allPlatforms: true })
  return store
}

function assertSame(store: Store, back: Store): void {
  const [ours, theirs] = [store.find('app').record, back.find('back').record]
  assert.equal(theirs.config.digest, ours.config.digest)
  assert.equal(theirs.images.default, ours.images.default)
  assert.deepEqual(
    theirs.layers.map(({ diffId }) => diffId),
    ours.layers.map(({ diffId }) => diffId),
  )
}

suite('push to a real registry', { skip: needsRegistry || needsPrograms('htpasswd', 'openssl', 'umoci') }, () => {
  const folder = scratch('push')
  let open: TestRegistry
  let guarded: TestRegistry
  let tokenGuarded: TestRegistry
  let tokens: TokenServer
  before(async () => {
    tokens = await startTokenServer(folder.at('tokens'), users)
    open = await startRegistry(folder.at('open'))
    guarded = await startRegistry(folder.at('basic'), { auth: 'basic', users })
    tokenGuarded = await startRegistry(folder.at('token'), { auth: tokens, users })
  })
  after(async () => {
    for (const each of [open, guarded, tokenGuarded, tokens]) await each[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('gives the same image to whoever pulls it', async () => {
    using place = scratch('push')
    using image = demoImage('gzip')
    await using store = await storeWith(place.at('store'), image.name)
    const result = await push(store, `docker://${open.host}/team/app:1.2`)
    await using back = await pulledBack(place.at('back'), `${open.host}/team/app:1.2`)
    assertSame(store, back)
    assert.equal(back.find('back').top.digest, result.top)
    const exported = await exportImage(store, 'app', `oci:${place.at('layout')}:x`)
    assert.equal(result.top, exported.top)
    assert.deepEqual([result.stats.blobsUploaded, result.stats.blobsPresent], [3, 0])

    const flags = ['copy', '--quiet', '--src-tls-verify=false']
    execFileSync('skopeo', [...flags, `docker://${open.host}/team/app:1.2`, `oci:${place.at('copy')}:x`])
    execFileSync('umoci', ['raw', 'unpack', '--image', `${place.at('copy')}:x`, place.at('tree')], { stdio: 'pipe' })
    execFileSync('diff', ['-r', place.at('tree'), unpacked(image, place.at('other'))])

    const again = await push(store, `${open.host}/team/app:again`)
    assert.deepEqual([again.top, again.stats.blobsUploaded, again.stats.blobsPresent], [result.top, 0, 3])
  })

  test('leaves the manifest alone where the original blobs are, or can be mounted', async () => {
    using place = scratch('push')
    using image = demoImage('gzip')
    await open.push(image.name, 'origin/app:1')
    await using store = await openStore(place.at('store'))
    await using source = registrySource(`${open.host}/origin/app:1`, nobody)
    await pull(store, source, { name: 'app' })
    const same = await push(store, `${open.host}/origin/app:2`, { preserveDigests: true })
    assert.deepEqual([same.top, same.stats.blobsUploaded, same.stats.blobsPresent], [image.manifest.digest, 0, 3])
    const other = await push(store, `${open.host}/elsewhere/app:1`, { preserveDigests: true })
    assert.deepEqual([other.top, other.stats.blobsUploaded, other.stats.blobsMounted], [image.manifest.digest, 0, 3])
    await using back = await pulledBack(place.at('back'), `${open.host}/elsewhere/app:1`)
    assertSame(store, back)
  })

  test('refuses to change digests that are to be preserved', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    const refused = push(store, `${open.host}/preserved:1`, { preserveDigests: true })
    await assert.rejects(refused, { code: 'UNSUPPORTED' })
    await assert.rejects(pulledBack(place.at('back'), `${open.host}/preserved:1`), { code: 'NOT_FOUND' })
    await assert.rejects(push(store, `${open.host}/preserved@${digestOf('other')}`), { code: 'UNSUPPORTED' })
  })

  test('takes all platforms the store has', async () => {
    using place = scratch('push')
    const layout = new LayoutBuilder(place.at('layout'))
    const images = ['amd64', 'arm64'].map((architecture) =>
      layout.image({
        platform: { os: 'linux', architecture },
        layers: [[file('same', noise(5000))], [file(architecture)]],
      }),
    )
    layout.tag(layout.index(...images.map(({ manifest }) => manifest)), 'multi')
    await using store = await storeWith(place.at('store'), `oci:${place.at('layout')}:multi`)
    const result = await push(store, `${open.host}/multi:1`, { allPlatforms: true })
    await using back = await pulledBack(place.at('back'), `${open.host}/multi:1`)
    assert.equal(back.find('back').top.digest, result.top)
    assert.deepEqual(
      back.list().map(({ record }) => record.config.digest),
      images.map(({ config }) => config.digest),
    )
  })

  const wrong = { kind: 'basic', username: 'ann', password: 'close sesame' } as const
  for (const [name, registry] of [
    ['a password', () => guarded],
    ['tokens', () => tokenGuarded],
  ] as const)
    test(`shows who it is behind ${name}`, async () => {
      using place = scratch('push')
      using image = demoImage()
      await using store = await storeWith(place.at('store'), image.name)
      const reference = `${registry().host}/app:1`
      const credentials = { ...nobody, credentials: ann }
      await push(store, reference, { registry: credentials })
      await using back = await pulledBack(place.at('back'), reference, credentials)
      assertSame(store, back)
      for (const registryOptions of [nobody, { ...nobody, credentials: wrong }])
        await assert.rejects(push(store, reference, { registry: registryOptions }), { code: 'DENIED' })
    })

  /** The nth request of its kind fails. */
  const first = (wanted: (seen: Seen) => boolean, fault: Fault): ((seen: Seen) => Fault | undefined) => {
    let done = false
    return (seen) => {
      if (done || !wanted(seen)) return undefined
      done = true
      return fault
    }
  }
  const uploads = (method: string) => (seen: Seen) => seen.method === method && seen.path.includes('/blobs/uploads/')
  const blobPut = (seen: Seen): boolean => uploads('PUT')(seen) && Number(seen.headers['content-length']) > 1_000_000
  const chunksRefused = (): ((seen: Seen) => Fault | undefined) => {
    // Two layers go up beside each other; their sizes tell them apart.
    const broken = new Map<string, number>()
    return (seen) => {
      if (seen.method === 'PATCH') return { status: 405 }
      const size = seen.headers['content-length'] ?? ''
      const times = (broken.get(size) ?? 0) + 1
      if (blobPut(seen)) broken.set(size, times)
      return blobPut(seen) && times <= 2 ? { resetAfter: 300_000 } : undefined
    }
  }
  const faults: readonly [name: string, fault: (seen: Seen) => Fault | undefined][] = [
    ['an upload session that is lost', first(blobPut, { status: 404 })],
    ['a connection that breaks in mid-upload', first(blobPut, { resetAfter: 300_000 })],
    ['a blob that it takes and loses', first(blobPut, { status: 201 })],
    ['a 503 with Retry-After', first(uploads('POST'), { status: 503, headers: { 'retry-after': '1' } })],
    [
      'a 429 for the manifest',
      first((seen) => seen.method === 'PUT' && seen.path.includes('/manifests/'), { status: 429 }),
    ],
    ['HEAD that is refused', (seen) => (seen.method === 'HEAD' ? { status: 405 } : undefined)],
    ['a whole blob that is too large', (seen) => (blobPut(seen) ? { status: 413 } : undefined)],
    ['chunks that are rejected, of a blob that did not arrive whole', chunksRefused()],
  ]
  for (const [name, fault] of faults)
    test(`survives ${name}`, async () => {
      using place = scratch('push')
      using image = demoImage()
      await using store = await storeWith(place.at('store'), image.name)
      const met: string[] = []
      await using proxy = await startFaultProxy(open.host, (seen) => {
        const found = fault(seen)
        if (found !== undefined) met.push(seen.method)
        return found
      })
      const repository = `faults/${name.replace(/[^a-z]+/gi, '-').toLowerCase()}`
      await push(store, `${proxy.host}/${repository}:1`)
      await using back = await pulledBack(place.at('back'), `${open.host}/${repository}:1`)
      assertSame(store, back)
      assert.ok(met.length > 0, 'the fault was not met')
      if (name.startsWith('chunks')) assert.ok(met.includes('PATCH'))
    })

  test('keeps credentials to itself when an upload goes elsewhere', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    await using elsewhere = await startFaultProxy(open.host, () => ({ status: 201 }), { address: '127.0.0.2' })
    await using proxy = await startFaultProxy(guarded.host, (seen) => {
      const isUpload = uploads('POST')(seen) && seen.headers.authorization !== undefined
      return isUpload ? { status: 202, headers: { location: `${elsewhere.url}/upload?x=1` } } : undefined
    })
    const refused = push(store, `${proxy.host}/away:1`, { registry: { ...nobody, credentials: ann } })
    await assert.rejects(refused, { code: 'NETWORK', message: /BLOB_UNKNOWN/ })
    assert.ok(elsewhere.seen.some(({ path }) => path.startsWith('/upload?x=1&digest=sha256%3A')))
    for (const { headers } of elsewhere.seen) assert.equal(headers.authorization, undefined)
  })

  test('ends in an error that names registry and blob when a registry takes nothing', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    await using proxy = await startFaultProxy(open.host, (seen) =>
      uploads('PUT')(seen) || uploads('PATCH')(seen) ? { status: 507 } : undefined,
    )
    const { code, message } = await push(store, `${proxy.host}/full:1`).then(
      () => assert.fail('it was taken'),
      (error: unknown) => error as Error & { code: string },
    )
    assert.equal(code, 'NETWORK')
    assert.match(message, new RegExp(`^Cannot upload blob sha256:[0-9a-f]{64} to ${proxy.host}/full: .* answers 507`))
  })
})

function unpacked(image: TestImage, folder: string): string {
  execFileSync('umoci', ['raw', 'unpack', '--image', `${image.folder}:latest`, folder], { stdio: 'pipe' })
  return folder
}

describe('a registry that lies about what it has', () => {
  const lies: readonly [name: string, habits: UploadHabits][] = [
    ['every blob', { claims: () => true }],
    ['blobs it says that it mounted', { mounts: () => true }],
  ]
  for (const [name, habits] of lies)
    test(`is given ${name} once its manifest is refused`, async () => {
      using place = scratch('push')
      using image = demoImage()
      await using store = await storeWith(place.at('store'), image.name)
      await using registry = await startUploadRegistry(habits)
      await store.tag('app', `${registry.host}/somewhere:1`)
      const { top } = await push(store, `${registry.host}/app:1`)
      assert.ok(registry.manifests.has('1'))
      const names = [...registry.blobs.keys()]
      assert.ok(names.includes(image.config.digest))
      assert.equal(names.length, 3)
      assert.notEqual(top, image.manifest.digest)
    })

  test('is believed about recompressed layers no longer than that', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    const originals = new Set<string>(image.layers.map(({ digest }) => digest))
    await using registry = await startUploadRegistry({ claims: (digest) => !originals.has(digest) })
    await push(store, `${registry.host}/app:1`)
    assert.equal(registry.blobs.size, 3)
  })

  test('ends in an error when it goes on lying', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    await using registry = await startUploadRegistry({ claims: () => true })
    registry.blobs.set = () => registry.blobs
    const refused = push(store, `${registry.host}/app:1`)
    await assert.rejects(refused, { code: 'NETWORK', message: /MANIFEST_BLOB_UNKNOWN/ })
    assert.deepEqual([...registry.manifests.keys()], [])
  })

  const other = digestOf('something else')
  for (const what of ['HEAD', 'POST mount'])
    test(`is not asked a second time when its answer to ${what} names another blob`, async () => {
      using place = scratch('push')
      using image = demoImage()
      await using store = await storeWith(place.at('store'), image.name)
      const isOther = (_: string, asked: string): string | undefined => (asked === what ? other : undefined)
      const claim = what === 'HEAD' ? { claims: () => true } : { mounts: () => true }
      // It would take the manifest, and have nothing of it.
      await using registry = await startUploadRegistry({ ...claim, digests: isOther, takesAnyManifest: true })
      await store.tag('app', `${registry.host}/somewhere:1`)
      const { stats } = await push(store, `${registry.host}/app:1`)
      assert.deepEqual([registry.blobs.size, stats.blobsUploaded], [3, 3])
    })

  for (const [what, found] of [
    [
      'PUT blob',
      /^Cannot upload blob sha256:[0-9a-f]{64} to 127[^ ]*\/app: the registry says that it has stored sha256:/,
    ],
    [
      'PUT manifest',
      /^Cannot put manifest sha256:[0-9a-f]{64} as 127[^ ]*\/app .*: the registry says that it has stored/,
    ],
  ] as const)
    test(`is an error when its answer to ${what} names other bytes`, async () => {
      using place = scratch('push')
      using image = demoImage()
      await using store = await storeWith(place.at('store'), image.name)
      const digests = (_: string, asked: string): string | undefined => (asked === what ? other : undefined)
      await using registry = await startUploadRegistry({ digests })
      await assert.rejects(push(store, `${registry.host}/app:1`), { code: 'NETWORK', message: found })
      assert.ok(!registry.manifests.has('1'))
    })

  test('is asked first for what compression gave the last time, and given it when it has it not', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    const built: string[] = []
    const onProgress: PushOptions['onProgress'] = (event) => {
      if (event.type === 'layer' && event.finished) built.push(event.digest)
    }
    await using registry = await startUploadRegistry()
    const { top } = await push(store, `${registry.host}/app:1`, { onProgress })
    assert.equal(built.length, 2)
    await push(store, `${registry.host}/app:2`, { onProgress })
    assert.equal(built.length, 2, 'nothing is compressed twice')
    const lies: UploadHabits = { claims: (digest) => !image.layers.some((layer) => layer.digest === digest) }
    for (const habits of [{}, lies]) {
      await using empty = await startUploadRegistry(habits)
      const again = await push(store, `${empty.host}/app:1`, { onProgress })
      assert.deepEqual([again.top, empty.blobs.size], [top, 3])
    }
    assert.equal(built.length, 6)
    assert.deepEqual(registry.manifests.get('2'), registry.manifests.get('1'))
  })

  test('stops when it is told to', async () => {
    using place = scratch('push')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    await using registry = await startUploadRegistry()
    const controller = new AbortController()
    const onProgress = ({ type }: { type: string }): void => void (type === 'layer' && controller.abort())
    const stopped = push(store, `${registry.host}/app:1`, { signal: controller.signal, onProgress })
    await assert.rejects(stopped, { name: 'AbortError' })
    assert.equal(registry.manifests.size, 0)
  })
})
