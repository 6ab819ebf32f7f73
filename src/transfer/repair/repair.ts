import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/entry.ts'
import { parseManifest } from '../../formats/oci/manifest.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Selected } from '../../formats/oci/select.ts'
import type { SourceOptions } from '../../sources/options.ts'
import type { Source } from '../../sources/source.ts'
import { type CheckResult, checkSince } from '../../store/fsck/check.ts'
import { mendFrame, mendMode, remainsOf, removeIndex, replaceBlob, replaceRef } from '../../store/fsck/mend.ts'
import { quarantine } from '../../store/fsck/quarantine.ts'
import type { CheckEvent, Damage, FsckOptions, FsckReport } from '../../store/fsck/report.ts'
import { type Store, openStore } from '../../store/store.ts'
import { defaultRoot } from '../../store/layout.ts'
import type { ImportLimits } from '../import/job.ts'
import type { PullEvent } from '../progress.ts'
import { pull, restore } from '../pull.ts'
import { Inventory } from './names.ts'
import { Origins } from './origin.ts'

export interface RepairOptions extends Omit<FsckOptions, 'dryRun' | 'onProgress'> {
  /** Where to fetch from, in place of where images came from. */
  readonly from?: string | undefined
  readonly source?: SourceOptions
  readonly limits?: Partial<ImportLimits>
  readonly onProgress?: ((event: CheckEvent | PullEvent) => void) | undefined
}

export interface RepairReport extends Omit<FsckReport, 'damage'> {
  /** There is no damage any more, or was none. */
  readonly clean: boolean
  /** What the first look found. */
  readonly found: readonly Damage[]
  /** What is damaged still. */
  readonly left: readonly Damage[]
  /** What was tried in vain. */
  readonly failures: readonly RepairFailure[]
}

export interface RepairFailure {
  /** A name, or the digest of a manifest or index. */
  readonly what: string
  readonly message: string
}

/**
 * Checks the store, quarantines what is damaged, and mends what can be: modes where they are, images from their recipes,
 * everything else from the origin in the record. Layers that are whole are not fetched. A last check, of what was changed,
 * says what is left.
 */
export async function repairStore(store: Store, options: RepairOptions = {}): Promise<RepairReport> {
  const first = await checkSince(store.root, options)
  const repair = new Repair(store, options)
  const last = first.report.clean ? first : await repair.run(first)
  if (last.report.index === 'damaged' || last.report.index === 'foreign') removeIndex(store.root)
  const { damage: left, ...report } = last.report
  return { ...report, checked: first.report.checked, found: first.report.damage, left, failures: repair.failures }
}

/** Opens a store that may lack what every store has. */
export async function openDamagedStore(root: string = defaultRoot()): Promise<Store> {
  mendFrame(resolve(root))
  return await openStore(root, { create: false })
}

class Repair {
  readonly failures: RepairFailure[] = []
  readonly #store: Store
  readonly #options: RepairOptions
  #inventory: Inventory

  constructor(store: Store, options: RepairOptions) {
    this.#store = store
    this.#options = options
    this.#inventory = new Inventory(store.root)
  }

  /** From the names down: what nothing is known to need is not fetched. */
  async run(first: CheckResult): Promise<CheckResult> {
    await using origins = new Origins(this.#store, this.#options.source ?? {}, this.#options.from)
    for (const damage of first.report.damage) await mendMode(this.#store.root, damage)
    await this.#mendNames(first.report.damage, origins)
    this.#inventory = new Inventory(this.#store.root)
    const second = await this.#checkAgain(first)
    await this.#dropUnneeded(second.report)
    for (const manifest of imagesToRestore([...first.report.damage, ...second.report.damage]))
      await this.#restore(manifest, second.report, origins)
    return await this.#checkAgain(second)
  }

  /** Waits for a garbage collection that came in between. */
  async #checkAgain({ report, state }: CheckResult): Promise<CheckResult> {
    const { sample, seed = report.seed } = { sample: this.#options.sample, seed: this.#options.sample?.seed }
    const options = {
      ...this.#options,
      changed: false,
      ...(sample === undefined ? {} : { sample: { ...sample, ...(seed === undefined ? {} : { seed }) } }),
    }
    for (;;) {
      try {
        return await checkSince(this.#store.root, options, state)
      } catch (error) {
        if (!hasCode(error, 'BUSY')) throw error
        await sleep(200, undefined, { signal: this.#options.signal ?? new AbortController().signal })
      }
    }
  }

  async #mendNames(damage: readonly Damage[], origins: Origins): Promise<void> {
    const { signal } = this.#options
    for (const { kind, name, file, state } of damage) {
      if (kind !== 'ref' || state !== 'broken') continue
      const top = this.#inventory.topOf(name, file)
      if (top === undefined) await this.#pullAgain(name, this.#readable(name), origins)
      else await this.#try(name, () => replaceRef(this.#store.root, name, top, signal))
    }
    this.#inventory = new Inventory(this.#store.root)
    for (const { kind, name, state, quarantined } of damage) {
      if (kind !== 'blob' || state !== 'broken' || quarantined !== undefined) continue
      const descriptor = this.#inventory.descriptor(name as Digest)
      if (descriptor !== undefined) await this.#fetchDocument(descriptor, origins)
    }
    for (const { kind, name, state } of damage)
      if (kind === 'ref' && state === 'untrue') await this.#pullAgain(name, this.#readable(name), origins)
  }

  /** What a ref says, also when its sum is gone. */
  #readable(name: string): Descriptor | undefined {
    try {
      return this.#store.ref(name)
    } catch (error) {
      if (error instanceof OnefoldError) return undefined
      throw error
    }
  }

  /** An index: the names that lead to it, and those of any image, are places that may have it. */
  async #fetchDocument(descriptor: Descriptor, origins: Origins): Promise<void> {
    const { signal } = this.#options
    const known = [...this.#inventory.records.values()].map(({ origin }) => origin.source)
    await this.#fromAny(
      descriptor.digest,
      origins.namesOf([...this.#namesOf(descriptor.digest), ...known]),
      async (origin) => {
        const source = await origins.source(origin, undefined)
        await replaceBlob(this.#store.root, descriptor.digest, await source.fetch(descriptor, { signal }), signal)
      },
    )
  }

  /**
   * A name that leads to nothing: what it stood for is pulled as if for the first time. When the ref cannot be read, that
   * is what its origin has under that name now, if images came from there.
   */
  async #pullAgain(name: string, top: Descriptor | undefined, origins: Origins): Promise<void> {
    const { signal } = this.#options
    const pulled = [...this.#inventory.records.values()].filter(({ origin }) => origin.source === name)
    if (top === undefined && pulled.length === 0 && !isPlace(name))
      return this.#failed(name, 'nothing tells what it stood for; give it again with pull or tag')
    const platforms = new Map(pulled.map(({ platform }) => [formatPlatform(platform), platform]))
    await this.#fromAny(name, origins.namesOf(looksLikeSource(name) ? [name] : []), async (origin) => {
      const source = await origins.source(origin, undefined)
      const pinned: Source =
        top === undefined
          ? source
          : { ...source, resolve: async () => ({ descriptor: top, bytes: await source.fetch(top, { signal }) }) }
      for (const platform of platforms.size === 0 ? [undefined] : platforms.values())
        await pull(this.#store, pinned, { ...this.#pullOptions(), name, ...(platform && { platform }) })
    })
  }

  /** Records that no name leads to and that lack something: nobody misses them, and they would be found every time. */
  async #dropUnneeded({ damage }: FsckReport): Promise<void> {
    // While a name leads nowhere, whatever it led to may look as if nobody needed it.
    if (damage.some(({ kind, file }) => kind === 'ref' || (kind === 'blob' && this.#isDocument(file)))) return
    const useless = new Set<string>()
    for (const { affected, kind } of damage)
      if (kind !== 'object' || affected.length > 0)
        for (const { manifest, names } of affected) if (names.length === 0) useless.add(`records/${manifest}`)
    await quarantine(this.#store.root, [...useless], this.#options.signal)
  }

  #isDocument(file: string): boolean {
    const digest = file.replace(/^blobs\//, '').replace('/', ':') as Digest
    return this.#inventory.descriptor(digest) !== undefined && !this.#inventory.records.has(digest)
  }

  async #restore(manifest: Digest, { damage }: FsckReport, origins: Origins): Promise<void> {
    const record = this.#inventory.records.get(manifest)
    const descriptor = this.#inventory.descriptor(manifest)
    if (descriptor === undefined) return this.#failed(manifest, 'nothing tells how large its manifest is')
    const remains = record === undefined ? remainsOf(this.#store.root, `records/${manifest}`) : ''
    const names = damage.flatMap(({ kind, name, images, affected }) =>
      kind === 'record' && name === manifest
        ? images
        : affected.flatMap((image) => (image.manifest === manifest ? image.names : [])),
    )
    const places = [
      record?.origin.source,
      originIn(remains),
      ...[...this.#namesOf(manifest), ...names].filter(looksLikeSource),
    ]
    await this.#fromAny(manifest, origins.namesOf(places), async (origin) => {
      const source = await origins.source(origin, record)
      const bytes = await source.fetch(descriptor, { signal: this.#options.signal })
      const document = parseManifest(bytes, { mediaType: descriptor.mediaType, digest: manifest })
      if (document.kind !== 'manifest')
        throw new OnefoldError('BAD_FORMAT', `Cannot restore image ${manifest}: it is an index`)
      const selected: Selected = {
        descriptor,
        bytes,
        manifest: document,
        trail: [{ descriptor, bytes }],
        platform: record?.platform ?? descriptor.platform,
      }
      await restore(this.#store, source, selected, {
        ...this.#pullOptions(),
        keepSelinux: record?.keepSelinux ?? remains.includes('"keepSelinux": true'),
      })
    })
  }

  #pullOptions() {
    const { limits, signal, onProgress } = this.#options
    return {
      ...(limits === undefined ? {} : { limits }),
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    }
  }

  /** Names whose ref says this digest. */
  #namesOf(digest: Digest): string[] {
    return this.#store.refs().filter((name) => {
      try {
        return this.#store.ref(name)?.digest === digest
      } catch (error) {
        if (error instanceof OnefoldError) return false
        throw error
      }
    })
  }

  async #fromAny(what: string, places: readonly string[], work: (origin: string) => Promise<void>): Promise<void> {
    if (places.length === 0) return this.#failed(what, 'nothing tells where it came from; say so with --from')
    const messages: string[] = []
    for (const place of places) {
      try {
        return await work(place)
      } catch (error) {
        this.#options.signal?.throwIfAborted()
        if (!(error instanceof OnefoldError)) throw error
        messages.push(error.message)
      }
    }
    this.#failed(what, messages.join('; '))
  }

  async #try(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
      this.#failed(what, error.message)
    }
  }

  #failed(what: string, message: string): void {
    this.failures.push({ what, message })
  }
}

/** Those that some name leads to, and that miss something. */
function imagesToRestore(damage: readonly Damage[]): Set<Digest> {
  const images = new Set<Digest>()
  for (const { kind, name, state, affected, images: names } of damage) {
    if (kind === 'record' && names.length > 0) images.add(name as Digest)
    if (kind === 'ref' || kind === 'store' || kind === 'mount' || state === 'exposed') continue
    for (const image of affected) if (image.names.length > 0) images.add(image.manifest)
  }
  return images
}

/** What a damaged record still says of where the image came from. */
function originIn(remains: string): string | undefined {
  const [, text] = /"source": ("(?:[^"\\]|\\.)*")/.exec(remains) ?? []
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'latin1').toString())
    return typeof value === 'string' && looksLikeSource(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Written with a transport or a host, a name can only have been given by a pull from there. */
function isPlace(name: string): boolean {
  return /^(?:docker:\/\/|oci:|oci-archive:|docker-archive:|dir:|rootfs:|tar:|[^/]+[.:][^/]*\/)/.test(name)
}

/** A short name that somebody gave is no place; asking Docker's registry for it would tell others what is here. */
function looksLikeSource(name: string): boolean {
  return /[/:]/.test(name)
}
