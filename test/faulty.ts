import assert from 'node:assert/strict'
import { after, before, suite } from 'node:test'
import { OnefoldError } from '../src/error.ts'
import type { Descriptor } from '../src/formats/entry.ts'
import { type RegistrySourceOptions, registrySource } from '../src/sources/registry/registry.ts'
import type { Source } from '../src/sources/source.ts'
import { type Fault, type FaultProxy, type FaultProxyOptions, type Seen, startFaultProxy } from './fault-proxy.ts'
import { needsPrograms } from './needs.ts'
import {
  type TestImage,
  type TestRegistry,
  type TokenServer,
  makeImage,
  needsRegistry,
  noise,
  startRegistry,
  startTokenServer,
} from './registry.ts'
import { scratch } from './scratch.ts'

/** Docker's registry with an image in it, and what tests need to come between it and a source. */
export interface FaultyRegistry {
  readonly folder: { readonly path: string; at: (...names: string[]) => string }
  readonly image: TestImage
  /** The image's one layer, and its bytes: enough for chunks to be lent, also after a cut. */
  readonly layer: Descriptor
  readonly bytes: Buffer
  readonly config: Descriptor
  /** The same image for everybody, behind a password, and behind tokens. */
  readonly open: TestRegistry
  readonly guarded: TestRegistry
  readonly tokenGuarded: TestRegistry
  readonly tokens: TokenServer
}

/** A source behind a faulty proxy; its pauses are recorded instead of slept. */
export interface FaultySource extends AsyncDisposable {
  readonly source: Source
  readonly proxy: FaultProxy
  readonly slept: number[]
  /** The requests for blobs, as `Range` or `-`. */
  ranges(): string[]
}

export interface FaultySourceOptions extends RegistrySourceOptions {
  readonly name?: string
  readonly proxy?: FaultProxyOptions
}

export type Faults = (seen: Seen) => Fault | undefined

export const ann = { kind: 'basic', username: 'ann', password: 'open: sesame' } as const
const users = { ann: ann.password }

/** A suite whose tests find a FaultyRegistry in `registry` once they run. */
export function faultySuite(name: string, define: (registry: FaultyRegistry) => void): void {
  suite(name, { skip: needsRegistry || needsPrograms('htpasswd', 'openssl') }, () => {
    const folder = scratch('faults')
    const registry: Partial<FaultyRegistry> = { folder }
    before(async () => void Object.assign(registry, await startAll(folder.at)))
    after(async () => {
      const { open, guarded, tokenGuarded, tokens } = registry as FaultyRegistry
      for (const each of [open, guarded, tokenGuarded, tokens]) await each[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    })
    define(registry as FaultyRegistry)
  })
}

async function startAll(at: FaultyRegistry['folder']['at']): Promise<Omit<FaultyRegistry, 'folder'>> {
  const image = makeImage(at('image'), [{ a: noise(1_300_000) }])
  const { layers, config } = JSON.parse(image.manifest.toString()) as { layers: Descriptor[]; config: Descriptor }
  const [layer] = layers
  const [bytes] = image.layers
  assert.ok(layer !== undefined && bytes !== undefined)
  const tokens = await startTokenServer(at('tokens'), users)
  const open = await startRegistry(at('open'))
  const guarded = await startRegistry(at('basic'), { auth: 'basic', users })
  const tokenGuarded = await startRegistry(at('token'), { auth: tokens, users })
  await Promise.all([open, guarded, tokenGuarded].map((each) => each.push(`oci:${image.folder}:one`, 'app:one')))
  return { image, layer, bytes, config, open, guarded, tokenGuarded, tokens }
}

/** Opens `app:one` of a registry through a proxy with faults. */
export async function behind(
  registry: TestRegistry,
  faults: Faults,
  options: FaultySourceOptions = {},
): Promise<FaultySource> {
  const slept: number[] = []
  const { name = 'app:one', proxy: proxyOptions, retry, ...rest } = options
  const proxy = await startFaultProxy(registry.host, faults, proxyOptions)
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
export function blobFaults(...faults: readonly (Fault | undefined)[]): Faults {
  return (seen) => (seen.path.includes('/blobs/') ? faults[seen.before] : undefined)
}

export function everyBlob(fault: Fault): Faults {
  return (seen) => (seen.path.includes('/blobs/') ? fault : undefined)
}

export function everyManifest(fault: Fault): Faults {
  return (seen) => (seen.path.includes('/manifests/') ? fault : undefined)
}

/** All bytes of a blob, copied: they may be lent. */
export async function collect(blob: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of blob) {
    assert.ok(chunk.length > 0)
    chunks.push(Buffer.from(chunk))
  }
  return Buffer.concat(chunks)
}

/** The error of a promise that must fail; none may show what is secret in these tests. */
export async function failure(promise: Promise<unknown>): Promise<OnefoldError> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof OnefoldError, String(error))
    const shown = `${error.message} ${error.hint} ${String(error.cause)}`
    assert.doesNotMatch(shown, /sesame|c2VzYW1l|Bearer ey/, 'a secret is shown')
    return error
  }
  throw new Error('it was no failure')
}
