import type { VerityDigest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { requireOwn } from '../store-folder.ts'
import { tryLockCollector } from '../store-lock.ts'
import { Suffering } from './affected.ts'
import { type CheckedState, fileTime, readChecked, writeChecked } from './checked.ts'
import { Claims } from './claims.ts'
import { FileCheck, type FilesChecked, Sizes, sampler } from './check-files.ts'
import { Findings, type Found } from './findings.ts'
import { indexState } from './index-state.ts'
import { checkMounts } from './check-mounts.ts'
import { Pool } from './fsck-pool.ts'
import { quarantine, writeMissing } from './quarantine.ts'
import { rebuildAll } from './rebuild-all.ts'
import type { Damage, FsckOptions, FsckReport } from './fsck-report.ts'
import { Walk } from './fsck-walk.ts'

/**
 * Reads everything in the store and compares it with its name. What is missing counts as damage where something needs
 * it, but for composefs images, which are a cache, and for platforms of an index that were never pulled.
 *
 * Checks a store. What is not what its name says is moved into quarantine, unless the store belongs to somebody else or `dryRun` says
 * so. What is named as needed by refs stays where it is, damaged or not: refs, records and indexes. Everybody who reads
 * those checks them, and a garbage collection must not take their absence for consent.
 *
 * Pulls may go on meanwhile; garbage collection waits with BUSY, so that nothing goes away while it is looked for.
 */
export async function checkStore(root: string, options: FsckOptions = {}): Promise<FsckReport> {
  return (await checkSince(root, options)).report
}

export interface CheckResult {
  readonly report: FsckReport
  /** State with which another check reads only what has changed since, and what may still be damaged under its name. */
  readonly state: CheckedState
}

/**
 * Checks as checkStore() does, for callers that check twice.
 * @param before what an earlier check has seen, in place of what is noted down in the store
 */
export async function checkSince(root: string, options: FsckOptions, before?: CheckedState): Promise<CheckResult> {
  options.signal?.throwIfAborted()
  using collecting = tryLockCollector(root)
  if (collecting === undefined)
    throw new OnefoldError('BUSY', `Cannot check the store "${root}": a garbage collection, or a check, is at it`)
  const mayChange = options.dryRun !== true && isOwn(root)
  const started = mayChange ? fileTime(root) : undefined
  const noted = options.changed === true ? readChecked(root, started ?? Date.now()) : undefined
  const known = before ?? noted
  const check = new Check(root, options, known)
  await check.run()
  const report = await check.report(mayChange)
  const state = { hashed: started ?? 0, rebuilt: options.rebuild === true ? (started ?? 0) : known?.rebuilt }
  if (started !== undefined && report.clean && options.sample === undefined) writeChecked(root, state)
  return { report, state: { ...state, images: 0 } }
}

/** Whether the store is ours alone to write. Another one is looked at, and left as it is. */
function isOwn(root: string): boolean {
  try {
    requireOwn(root)
    return true
  } catch (error) {
    if (hasCode(error, 'DENIED')) return false
    throw error
  }
}

class Check {
  readonly #root: string
  readonly #options: FsckOptions
  readonly #known: CheckedState | undefined
  readonly #findings = new Findings()
  readonly #walk: Walk
  readonly #claims: Claims
  readonly #sizes = new Sizes()
  #objects: FilesChecked = { files: 0, bytes: 0, hashed: 0 }
  #images: FilesChecked = { files: 0, bytes: 0, hashed: 0 }
  #mounts = 0
  #seed: string | undefined

  constructor(root: string, options: FsckOptions, known: CheckedState | undefined) {
    this.#root = root
    this.#options = options
    this.#known = known
    this.#walk = new Walk(root, this.#findings)
    this.#claims = new Claims(root, this.#walk, this.#findings)
  }

  /**
   * Checks what others name before what names them, but for records: a commit beside this names things in that order.
   */
  async run(): Promise<void> {
    const { signal } = this.#options
    await using pool = new Pool(signal)
    this.#walk.root()
    this.#claims.readBlobs()
    this.#claims.readRecords()
    await this.#files(pool)
    signal?.throwIfAborted()
    this.#claims.readRecipes(this.#sizes)
    signal?.throwIfAborted()
    if (this.#options.rebuild === true)
      await rebuildAll({
        root: this.#root,
        pool,
        findings: this.#findings,
        claims: this.#claims,
        since: this.#known?.rebuilt ?? 0,
        onProgress: this.#options.onProgress,
      })
    this.#claims.readRefs()
    this.#claims.requireParts()
    this.#mounts = checkMounts(this.#root, this.#walk, this.#findings, this.#claims)
    this.#walk.transactions()
  }

  async report(mayChange: boolean): Promise<FsckReport> {
    // Before anything is moved: paths are read from what is there.
    const suffering = new Suffering(this.#root, this.#findings, this.#claims)
    suffering.lookInImages()
    const found = this.#findings.all().map((each) => ({ each, ...suffering.of(each) }))
    if (mayChange) await this.#quarantine()
    const damage = found.map(
      ({ each: { kind, name, problem, state, file, quarantined }, images, affected }): Damage => ({
        kind,
        name,
        problem,
        state,
        file,
        ...(quarantined === undefined ? {} : { quarantined }),
        images,
        affected,
      }),
    )
    const { files: objects, bytes: objectBytes, hashed } = this.#objects
    return {
      clean: damage.length === 0,
      checked: {
        objects,
        objectBytes,
        hashed,
        images: this.#images.files,
        ...this.#claims.checked,
        mounts: this.#mounts,
      },
      damage: damage.toSorted((a, b) => compare(`${a.kind} ${a.name}`, `${b.kind} ${b.name}`)),
      strays: this.#walk.strays.toSorted(),
      index: await indexState(this.#root, this.#claims.records),
      ...(this.#seed === undefined ? {} : { seed: this.#seed }),
    }
  }

  async #files(pool: Pool): Promise<void> {
    const { sample, onProgress } = this.#options
    const since = this.#known?.hashed ?? 0
    const { sinceOf, seed } = sampler(sample, since, () => this.#walk.files('objects'))
    this.#seed = seed
    const check = new FileCheck(this.#walk, this.#findings, pool, onProgress)
    this.#objects = await check.objects(this.#sizes, sinceOf)
    const imagesSince = this.#known?.images ?? since
    this.#images = await check.images(() => imagesSince)
  }

  async #quarantine(): Promise<void> {
    const broken = this.#findings.all().filter((found) => this.#mayMove(found))
    const moved = await quarantine(
      this.#root,
      broken.map(({ file }) => file),
      this.#options.signal,
    )
    for (const found of broken) {
      const place = moved.get(found.file)
      if (place !== undefined) found.quarantined = place
    }
    const lost = this.#findings.all().filter(({ kind, state }) => kind === 'object' && isGone(state))
    writeMissing(
      this.#root,
      lost.map(({ name }) => name as VerityDigest),
    )
  }

  #mayMove({ kind, name, state, stays }: Found): boolean {
    if (state !== 'broken' || stays === true) return false
    const { reached } = this.#claims
    switch (kind) {
      case 'object':
      case 'recipe':
      case 'image':
        return true
      case 'blob':
        return this.#claims.isPartOfRecord(name) || (reached.whole && !reached.has(name))
      case 'record':
        return reached.whole && !reached.has(name)
      case 'ref':
      case 'mount':
      case 'store':
        return false
    }
  }
}

function isGone(state: Found['state']): boolean {
  return state === 'missing' || state === 'broken'
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
