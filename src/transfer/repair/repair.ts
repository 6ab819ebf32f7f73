import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { CheckResult, Damage, FsckReport, Mender, Store } from '../../store/store.ts'
import { type RepairFailure, RepairJob, type RepairOptions } from './repair-job.ts'
import { mendNames } from './mend-names.ts'
import { imagesToRestore, restoreImage } from './restore-image.ts'

export type { RepairFailure, RepairOptions } from './repair-job.ts'

export interface RepairReport extends Omit<FsckReport, 'damage'> {
  /** True when there is no damage any more, or was none. */
  readonly clean: boolean
  /** Damage that the first look found. */
  readonly found: readonly Damage[]
  /** Damage that is still there. */
  readonly left: readonly Damage[]
  /** Attempts to mend that were in vain. */
  readonly failures: readonly RepairFailure[]
}

/**
 * Checks the store, quarantines damaged files, and mends what can be: modes where they are, images from their recipes,
 * everything else from the origin in the record. Layers that are whole are not fetched. A last check, of what was
 * changed, says what is left.
 */
export async function repairStore(store: Store, options: RepairOptions = {}): Promise<RepairReport> {
  const mender = await store.mender()
  const first = await mender.check(options)
  const { last, failures } = first.report.clean
    ? { last: first, failures: [] }
    : await mend(store, mender, first, options)
  if (last.report.index === 'damaged' || last.report.index === 'foreign') mender.removeIndex()
  const { damage: left, ...report } = last.report
  return { ...report, checked: first.report.checked, found: first.report.damage, left, failures }
}

interface Mended {
  readonly last: CheckResult
  readonly failures: readonly RepairFailure[]
}

/** Repairs from the names down: nothing is fetched that is not known to be needed. */
async function mend(store: Store, mender: Mender, first: CheckResult, options: RepairOptions): Promise<Mended> {
  await using job = new RepairJob(store, mender, options)
  for (const damage of first.report.damage) await mender.mendMode(damage)
  await mendNames(job, first.report.damage)
  job.takeStock()
  const second = await checkAgain(job, first)
  await dropUnneeded(job, second.report)
  for (const manifest of imagesToRestore([...first.report.damage, ...second.report.damage]))
    await restoreImage(job, manifest, second.report)
  return { last: await checkAgain(job, second), failures: job.failures }
}

/** Checks once more; waits for a garbage collection that came in between. */
async function checkAgain({ mender, options }: RepairJob, { report, state }: CheckResult): Promise<CheckResult> {
  const { sample } = options
  const seed = sample?.seed ?? report.seed
  const again = {
    ...options,
    changed: false,
    ...(sample === undefined ? {} : { sample: { ...sample, ...(seed === undefined ? {} : { seed }) } }),
  }
  for (;;) {
    try {
      return await mender.check(again, state)
    } catch (error) {
      if (!hasCode(error, 'BUSY')) throw error
      await sleep(200, undefined, { signal: options.signal ?? new AbortController().signal })
    }
  }
}

/**
 * Drops records that no name leads to and that lack something: nobody misses them, and they would be found every time.
 */
async function dropUnneeded(job: RepairJob, { damage }: FsckReport): Promise<void> {
  // While a name leads nowhere, whatever it led to may look as if nobody needed it.
  if (damage.some(({ kind, file }) => kind === 'ref' || (kind === 'blob' && isDocument(job, file)))) return
  const useless = new Set<Digest>()
  for (const { affected, kind } of damage)
    if (kind !== 'object' || affected.length > 0)
      for (const { manifest, names } of affected) if (names.length === 0) useless.add(manifest)
  await job.mender.dropRecords(useless, job.options.signal)
}

function isDocument({ inventory }: RepairJob, file: string): boolean {
  const digest = file.replace(/^blobs\//, '').replace('/', ':') as Digest
  return inventory.descriptor(digest) !== undefined && !inventory.records.has(digest)
}
