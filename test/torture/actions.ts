import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { type Store, openStore } from '../../src/store/store.ts'
import { onefold } from '../fixtures/command.ts'
import { LayoutBuilder, type TestEntry, file } from '../fixtures/images.ts'
import { noise } from '../servers/registry.ts'
import { type UploadRegistry, startUploadRegistry } from '../servers/upload-registry.ts'
import type { Random } from './random.ts'

/** One call of the command, and what it may do to the names of the store. */
export interface Action {
  readonly kind: string
  readonly args: readonly string[]
  /** The name it sets or removes. */
  readonly name?: string
  /** What that name stands for afterwards; absent: nothing. `any`: an image that is not known beforehand. */
  readonly digest?: string
}

export interface Outcome {
  readonly code: number | null
  readonly err: string
}

const imageNames = ['a', 'b', 'c'] as const
const names = ['one', 'two', 'three'] as const

/** Images to pull, files to import and a registry to push to: outside of the store that is tortured. */
export class World implements AsyncDisposable {
  readonly layout: string
  readonly files: string
  readonly manifests: ReadonlyMap<string, string>
  readonly #registry: UploadRegistry

  constructor(folder: string, registry: UploadRegistry) {
    this.#registry = registry
    this.layout = `${folder}/layout`
    this.files = `${folder}/files`
    const builder = new LayoutBuilder(this.layout)
    this.manifests = new Map(
      imageNames.map((name, n) => {
        const { manifest } = builder.image({
          layers: [layer('shared', 7), layer(name, n), layer(`${name} more`, n + 20)],
        })
        builder.tag(manifest, name)
        return [name, manifest.digest]
      }),
    )
    mkdirSync(this.files)
    for (let n = 0; n < 30; n++) writeFileSync(`${this.files}/${n}`, noise(9000, 1000 + n))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry[Symbol.asyncDispose]()
  }

  pull(image: string, name: string): Action {
    const digest = this.manifests.get(image) ?? ''
    return { kind: 'pull', args: ['pull', `oci:${this.layout}:${image}`, '--name', name], name, digest }
  }

  /** Something that can be done to a store with these names. */
  choose(random: Random, refs: ReadonlyMap<string, string>): Action {
    const name = random.pick(names)
    const present = [...refs.keys()]
    const pull = this.pull(random.pick(imageNames), name)
    const known = random.pick(present)
    const choices: readonly (() => Action)[] = [
      () => pull,
      () => pull,
      () => ({ kind: 'gc', args: ['gc'] }),
      () => ({ kind: 'import', args: ['import', this.files, name], name, digest: 'any' }),
      () => ({ kind: 'rm', args: ['rm', known], name: known }),
      () => ({ kind: 'tag', args: ['tag', known, name], name, digest: refs.get(known) ?? '' }),
      () => ({ kind: 'push', args: ['push', known, `${this.#registry.host}/torture:${name}`, '--insecure'] }),
    ]
    return present.length === 0 ? random.pick(choices.slice(0, 4))() : random.pick(choices)()
  }
}

export async function makeWorld(folder: string): Promise<World> {
  return new World(folder, await startUploadRegistry())
}

function layer(label: string, seed: number): TestEntry[] {
  return Array.from({ length: 80 }, (_, i) => file(`${label}/${i}`, noise(100 + 211 * i, 100 * seed + i)))
}

export function start(root: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Outcome> } {
  const child = spawn(onefold, ['--quiet', '--store', root, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, err }))
  return { child, ended }
}

/** What every name stands for. */
export function refsOf(store: Store): Map<string, string> {
  return new Map(store.refs().map((name) => [name, store.ref(name)?.digest ?? '']))
}

/**
 * Throws unless the store is whole, every name is as it was or as one of the actions would have it, and everything that
 * names lead to is there. Returns the names.
 */
export async function expectWhole(
  root: string,
  before: ReadonlyMap<string, string>,
  unfinished: Action | undefined,
): Promise<Map<string, string>> {
  await using store = await openStore(root)
  const { damage, strays } = await store.fsck({ rebuild: true, dryRun: true })
  if (damage.length > 0 || strays.length > 0) throw new Error(`fsck found ${JSON.stringify({ damage, strays })}`)
  const refs = refsOf(store)
  for (const name of new Set([...refs.keys(), ...before.keys()])) {
    const [now, old] = [refs.get(name), before.get(name)]
    const isNew =
      unfinished?.name === name && (unfinished.digest === now || (unfinished.digest === 'any' && now !== undefined))
    if (now !== old && !isNew) throw new Error(`${name} is ${now}, was ${old}, and nothing should have changed it so`)
    if (now !== undefined) store.find(name)
  }
  return refs
}

/** The names after an action that has ended well. */
export function applied(refs: ReadonlyMap<string, string>, action: Action, root: string): Map<string, string> {
  const after = new Map(refs)
  if (action.name === undefined) return after
  if (action.digest === undefined) after.delete(action.name)
  else after.set(action.name, action.digest === 'any' ? readRefOf(root, action.name) : action.digest)
  return after
}

function readRefOf(root: string, name: string): string {
  return (JSON.parse(readFileSync(`${root}/refs/${name}`, 'utf8')) as { readonly digest: string }).digest
}

/** Nothing of the killed may be left once a command has run to its end. */
export function unfinishedIn(root: string): string[] {
  return readdirSync(`${root}/tmp`)
}
