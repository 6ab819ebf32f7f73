import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, suite, test } from 'node:test'
import { ann, collect, failure } from '../../../test/servers/faulty-registry.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import {
  type TestImage,
  type TestRegistry,
  makeImage,
  makeKeyPair,
  needsRegistry,
  noise,
  startRegistry,
  startTokenServer,
} from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import type { Digest } from '../../digest.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { Source } from '../source.ts'
import { type RegistrySourceOptions, registrySource } from './registry.ts'

const users = { ann: ann.password }
const nobody = { HOME: '/nonexistent' }

/** Reads all of an image and compares it with the original. */
async function readWhole(source: Source, image: TestImage): Promise<void> {
  const top = await source.resolve()
  assert.deepEqual(Buffer.from(top.bytes), image.manifest)
  assert.equal(top.descriptor.digest, image.manifestDigest)
  assert.equal(top.descriptor.size, image.manifest.length)
  assert.equal(top.descriptor.mediaType, 'application/vnd.oci.image.manifest.v1+json')
  const { config, layers } = JSON.parse(image.manifest.toString()) as { config: Descriptor; layers: Descriptor[] }
  assert.deepEqual(Buffer.from(await source.fetch(config)), image.config)
  for (const lent of [false, true]) {
    const read = await Promise.all(layers.map((layer) => collect(source.blob(layer, { lent }))))
    for (const [index, bytes] of read.entries()) assert.ok(image.layers[index]?.equals(bytes))
  }
}

function open(reference: string, options: RegistrySourceOptions = {}): Source {
  return registrySource(reference, { env: nobody, retry: { firstDelay: 1 }, ...options })
}

suite('a real registry', { skip: needsRegistry }, () => {
  const folder = scratch('registry')
  let image: TestImage
  let registry: TestRegistry

  before(async () => {
    image = makeImage(folder.at('image'), [{ a: noise(3_000_000), b: 'small' }, { c: noise(70_000, 2) }])
    registry = await startRegistry(folder.at('open'))
    await registry.push(`oci:${image.folder}:one`, 'team/app:one')
  })

  after(async () => {
    await registry[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('gives an image by tag, by digest and by both', async () => {
    const names = ['team/app:one', `team/app@${image.manifestDigest}`, `team/app:other@${image.manifestDigest}`]
    for (const name of names) {
      await using source = open(`${registry.host}/${name}`)
      assert.equal(source.name, `${registry.host}/${name}`)
      assert.equal(source.kind, 'layer')
      await readWhole(source, image)
    }
  })

  test('gives a blob from any byte', async () => {
    await using source = open(`${registry.host}/team/app:one`)
    const [layer] = (JSON.parse(image.manifest.toString()) as { layers: Descriptor[] }).layers
    const [bytes] = image.layers
    assert.ok(layer !== undefined && bytes !== undefined)
    for (const offset of [0, 1, 65_536, layer.size - 1, layer.size])
      assert.deepEqual(await collect(source.blob(layer, { offset })), bytes.subarray(offset))
    for (const offset of [-1, 0.5, layer.size + 1])
      assert.equal((await failure(collect(source.blob(layer, { offset })))).code, 'USAGE')
  })

  test('gives a Docker manifest as what it is', async () => {
    const flags = ['--quiet', '--format', 'v2s2', '--dest-tls-verify=false']
    execFileSync('skopeo', ['copy', ...flags, `oci:${image.folder}:one`, `docker://${registry.host}/docker:two`])
    await using source = open(`${registry.host}/docker:two`)
    const top = await source.resolve()
    assert.equal(top.descriptor.mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
    const { config } = JSON.parse(Buffer.from(top.bytes).toString()) as { config: Descriptor }
    assert.deepEqual(Buffer.from(await source.fetch(config)), image.config)
    assert.deepEqual(Buffer.from(await source.fetch(top.descriptor)), Buffer.from(top.bytes))
  })

  const missing: readonly [what: string, name: string, found: RegExp][] = [
    ['a tag', 'team/app:none', /answers 404: MANIFEST_UNKNOWN/],
    ['a repository', 'team/none:one', /answers 404: MANIFEST_UNKNOWN/],
    ['a digest', `team/app@sha256:${'0'.repeat(64)}`, /answers 404: MANIFEST_UNKNOWN/],
  ]
  for (const [what, name, found] of missing)
    test(`says that ${what} is not there`, async () => {
      await using source = open(`${registry.host}/${name}`)
      const error = await failure(source.resolve())
      assert.equal(error.code, 'NOT_FOUND')
      assert.match(error.message, found)
      assert.ok(error.message.includes(`${registry.host}/${name}`), error.message)
    })

  test('says which blob is not there', async () => {
    await using source = open(`${registry.host}/team/app:one`)
    const digest = `sha256:${'1'.repeat(64)}` as Digest
    const error = await failure(collect(source.blob({ mediaType: 'x', digest, size: 5 })))
    assert.equal(error.code, 'NOT_FOUND')
    assert.ok(error.message.includes(`blob ${digest} of ${registry.host}/team/app`), error.message)
  })

  test('an abort ends a read with its reason', async () => {
    await using source = open(`${registry.host}/team/app:one`)
    const stop = new AbortController()
    const { layers } = JSON.parse(image.manifest.toString()) as { layers: Descriptor[] }
    const [layer] = layers
    assert.ok(layer !== undefined)
    const reading = (async () => {
      for await (const _ of source.blob(layer, { signal: stop.signal })) stop.abort()
    })()
    await assert.rejects(reading, { name: 'AbortError' })
    await assert.rejects(source.resolve({ signal: stop.signal }), { name: 'AbortError' })
  })

  test('after the source was closed nothing is asked any more', async () => {
    const source = open(`${registry.host}/team/app:one`)
    await source.resolve()
    await source[Symbol.asyncDispose]()
    assert.equal((await failure(source.resolve())).code, 'USAGE')
  })

  suite('behind a password', { skip: needsPrograms('htpasswd') }, () => {
    let guarded: TestRegistry

    before(async () => {
      guarded = await startRegistry(folder.at('basic'), { auth: 'basic', users })
      await guarded.push(`oci:${image.folder}:one`, 'team/app:one')
    })
    after(() => guarded[Symbol.asyncDispose]())

    test('gives an image to those who know it', async () => {
      await using source = open(`${guarded.host}/team/app:one`, { credentials: ann })
      await readWhole(source, image)
    })

    test('refuses those without, and says what to do', async () => {
      await using source = open(`${guarded.host}/team/app:one`)
      const error = await failure(source.resolve())
      assert.equal(error.code, 'DENIED')
      assert.match(error.message, /refuses us without credentials/)
      assert.ok(error.hint?.includes(`docker login ${guarded.host}`))
    })

    test('refuses a wrong one', async () => {
      await using source = open(`${guarded.host}/team/app:one`, { credentials: { ...ann, password: 'sesame' } })
      const error = await failure(source.resolve())
      assert.equal(error.code, 'DENIED')
      assert.match(error.message, /refuses us with the credentials found for it \(401: UNAUTHORIZED/)
    })
  })

  suite('behind a token server', { skip: needsPrograms('openssl') }, () => {
    let tokens: Awaited<ReturnType<typeof startTokenServer>>
    let guarded: TestRegistry

    before(async () => {
      tokens = await startTokenServer(folder.at('tokens'), users, { refreshToken: 'refresh sesame' })
      guarded = await startRegistry(folder.at('token'), { auth: tokens, users })
      await guarded.push(`oci:${image.folder}:one`, 'team/app:one')
    })
    after(async () => {
      await guarded[Symbol.asyncDispose]()
      await tokens[Symbol.asyncDispose]()
    })

    test('one token serves a whole image, many blobs at once', async () => {
      const asked = tokens.asked.length
      await using source = open(`${guarded.host}/team/app:one`, { credentials: ann })
      await readWhole(source, image)
      const [question, ...more] = tokens.asked.slice(asked)
      assert.equal(more.length, 0)
      assert.equal(question?.method, 'GET')
      const expected = { service: tokens.service, scope: 'repository:team/app:pull', account: 'ann' }
      assert.deepEqual(question.form, expected)
    })

    test('the token may be called access_token', async () => {
      tokens.tokenName = 'access_token'
      await using source = open(`${guarded.host}/team/app:one`, { credentials: ann })
      await source.resolve()
      tokens.tokenName = 'token'
    })

    test('an identity token is exchanged by POST', async () => {
      const credentials = { kind: 'identity', token: 'refresh sesame' } as const
      const asked = tokens.asked.length
      await using source = open(`${guarded.host}/team/app:one`, { credentials })
      await readWhole(source, image)
      const [question] = tokens.asked.slice(asked)
      assert.equal(question?.method, 'POST')
      assert.equal(question.authorization, undefined)
      assert.equal(question.form['grant_type'], 'refresh_token')
      assert.equal(question.form['scope'], 'repository:team/app:pull')
    })

    test('a token that runs out is renewed', async () => {
      tokens.lifetime = -3600
      await using source = open(`${guarded.host}/team/app:one`, { credentials: ann })
      const asked = tokens.asked.length
      assert.equal((await failure(source.resolve())).code, 'DENIED')
      // Tokens that never work are not asked for again and again.
      assert.equal(tokens.asked.length - asked, 2)
      tokens.lifetime = 300
      await readWhole(source, image)
    })

    for (const credentials of [undefined, { ...ann, password: 'sesame' }, { kind: 'identity', token: 'old' } as const])
      test(`refuses ${credentials?.kind ?? 'nobody'}`, async () => {
        await using source = open(`${guarded.host}/team/app:one`, { credentials })
        const error = await failure(source.resolve())
        assert.equal(error.code, 'DENIED')
        assert.match(error.message, /the token server http:\/\/127\.0\.0\.1:\d+\/token answers 401/)
      })
  })

  suite('behind TLS', { skip: needsPrograms('openssl') }, () => {
    let secure: TestRegistry
    let cert: string

    before(async () => {
      const tls = makeKeyPair(folder.at('keys'), 'registry')
      cert = tls.cert
      secure = await startRegistry(folder.at('secure'), { tls })
      await secure.push(`oci:${image.folder}:one`, 'team/app:one')
    })
    after(() => secure[Symbol.asyncDispose]())

    test('gives an image when its authority is known', async () => {
      await using source = open(`${secure.host}/team/app:one`, { caFile: cert })
      await readWhole(source, image)
    })

    test('gives an image when its authority lies in certs.d', async () => {
      using certs = scratch('certs')
      const place = certs.at(secure.host)
      execFileSync('mkdir', [place])
      execFileSync('cp', [cert, `${place}/ca.crt`])
      await using source = open(`${secure.host}/team/app:one`, { certificateFolders: [certs.at('none'), certs.path] })
      await readWhole(source, image)
    })

    test('gives an image when the operating system knows its authority', () => {
      const code = `const { registrySource } = await import(${JSON.stringify(import.meta.resolve('./registry.ts'))})
        await using source = registrySource('${secure.host}/team/app:one')
        process.stdout.write((await source.resolve()).descriptor.digest)`
      const env = { HOME: '/nonexistent', SSL_CERT_FILE: cert, SSL_CERT_DIR: '/nonexistent' }
      const found = execFileSync(process.execPath, ['--input-type=module', '-e', code], { env, encoding: 'utf8' })
      assert.equal(found, image.manifestDigest)
    })

    test('gives an image to those who do not care', async () => {
      await using source = open(`${secure.host}/team/app:one`, { insecure: true })
      await readWhole(source, image)
    })

    test('refuses an unknown authority, and says what to do', async () => {
      await using source = open(`${secure.host}/team/app:one`)
      const error = await failure(source.resolve())
      assert.equal(error.code, 'NETWORK')
      assert.match(error.message, /the certificate of 127\.0\.0\.1:\d+ is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/)
      assert.match(error.hint ?? '', /certs\.d.*--insecure/)
    })

    test('refuses another name', async () => {
      const port = secure.host.split(':')[1]
      await using source = open(`127.0.0.3:${port}/team/app:one`, { caFile: cert })
      const error = await failure(source.resolve())
      assert.match(error.message, /refused the connection|ERR_TLS_CERT_ALTNAME_INVALID/)
    })
  })

  test('nobody listens: refused at once', async () => {
    await using source = open('127.0.0.1:1/team/app:one', { retry: { firstDelay: 60_000 } })
    const error = await failure(source.resolve())
    assert.equal(error.code, 'NETWORK')
    assert.match(error.message, /127\.0\.0\.1:1 refused the connection/)
  })

  test('a host that does not exist', async () => {
    await using source = open('nothing.invalid/team/app:one', { retry: { firstDelay: 1, attempts: 2 } })
    const error = await failure(source.resolve())
    assert.equal(error.code, 'NETWORK')
    assert.match(error.message, /nothing\.invalid/)
  })
})
