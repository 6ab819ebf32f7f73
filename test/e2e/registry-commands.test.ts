import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type Ended, runOnefold } from '../fixtures/command.ts'
import { LayoutBuilder, file } from '../fixtures/images.ts'
import { makeKeyPair, needsRegistry, startRegistry } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'

/** The command against docker's registry: what people meet on a day when not everything goes well. */

const body = Buffer.alloc(4000, 'content ')

function layout(folder: string): { old: string; new: string; digest: string; layer: string } {
  const builder = new LayoutBuilder(folder)
  const images = [
    builder.image({ layers: [[file('old', body)]] }),
    builder.image({ layers: [[file('new', body)]] }),
  ] as const
  builder.tag(images[0].manifest, 'old')
  builder.tag(images[1].manifest, 'new')
  const layer = images[0].layers[0]?.digest ?? ''
  return { old: `oci:${folder}:old`, new: `oci:${folder}:new`, digest: images[0].manifest.digest, layer }
}

describe('a registry', { skip: needsRegistry }, () => {
  test('whose tag moves is followed, and one that lies is not believed', async () => {
    using place = scratch('commands')
    const image = layout(place.at('layout'))
    await using registry = await startRegistry(place.at('registry'))
    const onefold = (...args: readonly string[]): Ended =>
      runOnefold(['--quiet', '--store', place.at('store'), ...args])
    const name = `${registry.host}/app:v1`
    const exact = `${registry.host}/app@${image.digest}`

    await registry.push(image.old, 'app:v1')
    assert.equal(onefold('pull', name).code, 0)
    await registry.push(image.new, 'app:v1')
    assert.equal(onefold('ls', name).out, 'old\n', 'what is in the store is taken as it is')
    assert.equal(onefold('pull', name).code, 0)
    assert.equal(onefold('ls', name).out, 'new\n')
    assert.equal(onefold('ls', exact).out, 'old\n', 'the digest is still what it was')

    for (const remove of [['rm', exact], ['gc']]) assert.equal(onefold(...remove).code, 0)
    const lie = (digest: string): void => {
      const hex = digest.slice('sha256:'.length)
      const path = place.at('registry/storage/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data')
      const bytes = readFileSync(path)
      bytes[bytes.length >> 1]! ^= 1
      writeFileSync(path, bytes)
    }
    lie(image.layer)
    const layer = onefold('pull', exact)
    assert.equal(layer.code, 1)
    assert.match(layer.err, new RegExp(`^onefold: Cannot .*${image.layer}`))
    lie(image.digest)
    const manifest = onefold('pull', exact)
    assert.equal(manifest.code, 1)
    assert.match(manifest.err, /^onefold: Cannot /)
    assert.equal(onefold('ls', exact).code, 1)
    assert.deepEqual(readdirSync(place.at('store/tmp')), [])
    assert.equal(onefold('fsck').code, 0)
  })

  test('that has not what was asked for says so with exit code 3', async () => {
    using place = scratch('commands')
    const image = layout(place.at('layout'))
    await using registry = await startRegistry(place.at('registry'))
    await registry.push(image.old, 'app:v1')
    for (const name of ['app', 'nothing:v1', `app@sha256:${'0'.repeat(64)}`]) {
      const { code, err } = runOnefold(['--store', place.at('store'), 'pull', `${registry.host}/${name}`])
      assert.equal(code, 3)
      assert.match(err, /404.*\n {2}Check the repository and the tag or digest\.\n$/)
    }
  })

  test('that asks for a password says whose, and how to give it', async () => {
    using place = scratch('commands')
    const image = layout(place.at('layout'))
    await using registry = await startRegistry(place.at('registry'), { users: { joe: 'secret' }, auth: 'basic' })
    await registry.push(image.old, 'app:v1')
    const pull = (...args: readonly string[]): Ended =>
      runOnefold(['--quiet', '--store', place.at('store'), 'pull', `${registry.host}/app:v1`, ...args], {
        env: { PATH: process.env['PATH'], HOME: place.path },
      })
    const login = (user: string): string => {
      const auth = Buffer.from(user).toString('base64')
      writeFileSync(place.at('auth.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
      return place.at('auth.json')
    }
    const hint = new RegExp(`\\n {2}Run "docker login ${registry.host}"`)
    const anonymous = pull()
    assert.match(anonymous.err, /refuses us without credentials/)
    assert.match(anonymous.err, hint)
    const wrong = pull('--authfile', login('joe:wrong'))
    assert.match(wrong.err, /refuses us with the credentials found for it/)
    assert.match(wrong.err, hint)
    assert.doesNotMatch(wrong.err, /wrong|am9lOndyb25n/, 'no password in a message')
    assert.deepEqual([anonymous.code, wrong.code], [1, 1])
    assert.equal(pull('--authfile', login('joe:secret')).code, 0)
  })

  test('whose certificate nobody knows is refused, and taken when it is vouched for or waved through', async () => {
    using place = scratch('commands')
    const image = layout(place.at('layout'))
    const tls = makeKeyPair(place.at('keys'), 'registry')
    await using registry = await startRegistry(place.at('registry'), { tls })
    await registry.push(image.old, 'app:v1')
    const pull = (...args: readonly string[]): Ended =>
      runOnefold(['--quiet', '--store', place.at('store'), 'pull', `${registry.host}/app:v1`, ...args])
    const refused = pull()
    assert.equal(refused.code, 1)
    assert.match(refused.err, /is not trusted .*\n {2}.*certs\.d.*--insecure/)
    assert.equal(pull('--ca-file', tls.cert).code, 0)
    assert.equal(pull('--insecure', '--name', 'again').code, 0)
  })
})
