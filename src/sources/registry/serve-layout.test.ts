import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { type TestImage, makeImage, noise } from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { registrySource } from './registry.ts'
import { type LayoutServer, serveLayout } from './serve-layout.ts'

const run = promisify(execFile)

suite('serveLayout', () => {
  const folder = scratch('serve')
  let image: TestImage
  let server: LayoutServer
  let layer: Descriptor
  let bytes: Buffer

  before(async () => {
    image = makeImage(folder.at('image'), [{ a: noise(300_000) }])
    server = await serveLayout(image.folder)
    const [descriptor] = (JSON.parse(image.manifest.toString()) as { layers: Descriptor[] }).layers
    const [blob] = image.layers
    assert.ok(descriptor !== undefined && blob !== undefined)
    layer = descriptor
    bytes = blob
  })

  after(async () => {
    await server.close()
    folder[Symbol.dispose]()
  })

  test('gives an image to our own client under any name', async () => {
    const requests = server.served.requests
    await using source = registrySource(`${server.host}/any/name:one`)
    const top = await source.resolve()
    assert.deepEqual(Buffer.from(top.bytes), image.manifest)
    assert.deepEqual(Buffer.from(await source.fetch(top.descriptor)), image.manifest)
    const chunks: Uint8Array[] = []
    for await (const chunk of source.blob(layer, { offset: 5 })) chunks.push(chunk)
    assert.deepEqual(Buffer.concat(chunks), bytes.subarray(5))
    // The protocol's probe, and one for each of the above.
    assert.equal(server.served.requests - requests, 4)
  })

  test('gives an image to skopeo', { skip: needsPrograms('skopeo') }, async () => {
    const from = `docker://${server.host}/team/app:one`
    const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', from])
    const { Digest, RepoTags } = JSON.parse(stdout) as { Digest: string; RepoTags: string[] }
    assert.equal(Digest, image.manifestDigest)
    assert.deepEqual(RepoTags, ['one'])
    await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', from, `oci:${folder.at('copy')}:one`])
    assert.deepEqual(readdirSync(folder.at('copy/blobs/sha256')), readdirSync(folder.at('image/blobs/sha256')))
  })

  const blob = (): string => `/v2/a/blobs/${layer.digest}`
  const ranges: readonly [range: string, status: number, first: number, last: number][] = [
    ['bytes=0-0', 206, 0, 1],
    ['bytes=10-19', 206, 10, 20],
    ['bytes=300000-', 206, 300_000, Infinity],
    ['bytes=-5', 206, -5, Infinity],
    ['bytes=-99999999', 206, 0, Infinity],
    ['bytes=10-99999999', 206, 10, Infinity],
    ['bytes=9-5', 200, 0, Infinity],
    ['bytes=0-1,4-5', 200, 0, Infinity],
    ['bytes=-', 200, 0, Infinity],
    ['lines=1-2', 200, 0, Infinity],
  ]
  for (const [range, status, first, last] of ranges)
    test(`answers Range: ${range}`, async () => {
      const response = await fetch(server.url + blob(), { headers: { range } })
      assert.equal(response.status, status)
      const expected = bytes.subarray(first, last)
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), expected)
      const start = bytes.indexOf(expected)
      const said = status === 206 ? `bytes ${start}-${start + expected.length - 1}/${bytes.length}` : null
      assert.equal(response.headers.get('content-range'), said)
    })

  for (const range of ['bytes=99999999-', 'bytes=-0'])
    test(`refuses Range: ${range}`, async () => {
      const response = await fetch(server.url + blob(), { headers: { range } })
      assert.equal(response.status, 416)
      assert.equal(response.headers.get('content-range'), `bytes */${bytes.length}`)
    })

  test('HEAD tells what GET would', async () => {
    const response = await fetch(`${server.url}/v2/a/manifests/one`, { method: 'HEAD' })
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'application/vnd.oci.image.manifest.v1+json')
    assert.equal(response.headers.get('content-length'), String(image.manifest.length))
    assert.equal(response.headers.get('docker-content-digest'), image.manifestDigest)
  })

  const refused: readonly [method: string, path: () => string, status: number, code: string][] = [
    ['GET', () => '/v2/a/manifests/two', 404, 'MANIFEST_UNKNOWN'],
    ['GET', () => `/v2/a/manifests/sha256:${'0'.repeat(64)}`, 404, 'MANIFEST_UNKNOWN'],
    ['GET', () => `/v2/a/manifests/${layer.digest}`, 404, 'MANIFEST_UNKNOWN'],
    ['GET', () => '/v2/a/blobs/..%2f..%2findex.json', 404, 'BLOB_UNKNOWN'],
    ['GET', () => '/v2/a/blobs/sha256:abc', 404, 'BLOB_UNKNOWN'],
    ['GET', () => '/v2/a/tags/other', 404, 'NAME_UNKNOWN'],
    ['GET', () => '/', 404, 'NAME_UNKNOWN'],
    ['POST', () => '/v2/a/blobs/uploads/', 405, 'UNSUPPORTED'],
  ]
  for (const [method, path, status, code] of refused)
    test(`${method} of what is not there: ${code} ${status}`, async () => {
      const response = await fetch(server.url + path(), { method })
      assert.equal(response.status, status)
      const { errors } = (await response.json()) as { errors: { code: string }[] }
      assert.equal(errors[0]?.code, code)
    })

  test('counts what it sends', async () => {
    const { bytes: before } = server.served
    await (await fetch(server.url + blob(), { headers: { range: 'bytes=0-99' } })).arrayBuffer()
    assert.equal(server.served.bytes - before, 100)
  })

  test('a reference as name of an image stands for its tag', async () => {
    using other = scratch('serve')
    makeImage(other.path, [{ a: 'x' }], 'host.example:5000/team/app:v1')
    await using named = await serveLayout(other.path)
    const response = await fetch(`${named.url}/v2/a/tags/list`)
    assert.deepEqual(await response.json(), { name: 'a', tags: ['v1'] })
  })

  test('what is no layout is refused', async () => {
    using other = scratch('serve')
    await assert.rejects(serveLayout(other.path), { code: 'NOT_FOUND' })
    for (const text of ['', '[]', '{"manifests":{}}', 'null']) {
      writeFileSync(other.at('index.json'), text)
      await assert.rejects(serveLayout(other.path), { code: 'BAD_FORMAT' })
    }
  })

  test('an address in use is refused', async () => {
    const port = Number(server.host.split(':')[1])
    await assert.rejects(serveLayout(image.folder, { port }), { code: 'IO' })
  })

  test('the layout is not changed by all this', () => {
    assert.equal(readFileSync(folder.at('image/oci-layout'), 'utf8'), '{"imageLayoutVersion":"1.0.0"}')
  })
})
