import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AbortOptions } from '../../abort.ts'
import { OnefoldError } from '../../error.ts'
import { syncfsAsync } from '../../linux/file.ts'
import { nameAgain } from './aside.ts'
import { Freed, type FreedReport } from './freed.ts'
import { GarbageSearch } from './garbage-search.ts'
import { removeDead, seizeDead } from '../transaction/dead-folders.ts'
import { DiskReader, visitFiles } from '../usage/disk-reader.ts'
import { lockStore, tryLockCollector } from '../store-lock.ts'
import { Marks } from './marks.ts'
import { Sweep } from './sweep.ts'

/*
 * Garbage collection beside everything else. What is needed is marked, and everything else planned to go, without a
 * lock; a dry run tells the plan. Then, in slices of half a second, under the exclusive lock,
 *
 *   1  refs, mounts and holds are read again, and what they need is marked as well;
 *   2  the generation changes;
 *   3  what is not marked goes, from the top down: records, images, recipes, blobs, objects. By the handful: they are
 *      put aside; holds are read once more, and what they need gets its name back; the others are deleted. Where no
 *      transaction lives, all but images are deleted at once: none can begin during a slice.
 *
 * Between slices everybody else gets the lock. Every slice begins at the top again, with all records, images, recipes
 * and blobs there are by then; only objects take more than one, and are taken off the plan. An object that has become
 * garbage since stays for the next collection; one that is needed since is marked, and passed over. Nothing that is
 * needed is lost, whatever comes between:
 *
 * - A commit or tag before a slice has a ref, which 1 sees. None can come during one: they hold the lock shared. One that
 *   comes after it checks under the lock that what it names is there. It looks at records, blobs, recipes; objects of a
 *   recipe that is there are there: objects go only while no recipe is in the store that is not marked with them.
 * - A transaction appends a hold, then looks the digest up. If the lookup came before 3 put it aside, so did the hold,
 *   which 3 reads before it deletes. If it came after, it finds nothing, and the transaction stages the object itself;
 *   when 3 puts it back all the same (the hold was there in time), two equal files meet at commit, and the first stays.
 * - Whoever looked something up without a hold (a pull that found the whole image there) commits under another
 *   generation and checks again: BUSY instead of a ref to nothing.
 * - A mount opens its image first and keeps it open. If that was before 3 put the image aside, its lease is refused
 *   afterwards, and it gets its name back and keeps its objects, which go later; if after, the open fails.
 * - Killed at any instant: what is aside gets its name back by the next transaction or collection, and what it needs is
 *   still there, since that goes later.
 * - Power cut: objects go after a sync of everything above them, so that no recipe comes back without its objects. Refs
 *   are durable before the lock is given away.
 */

export interface GcOptions extends AbortOptions {
  /** Tells only what would go. */
  readonly dryRun?: boolean | undefined
  /**
   * Milliseconds: spares what was needed less than that ago, as far as the times of files tell. An image goes by when
   * it was pulled, or lost a name, whichever was later, and stays whole; what belongs to no image goes by when it was
   * written.
   */
  readonly keepYoungerThan?: number | undefined
}

export interface GcReport extends FreedReport {
  readonly dryRun: boolean
  /** Folders of transactions whose process has died. */
  readonly transactions: number
}

const sliceMs = 500
/** Time between slices: longer than who waits for the lock sleeps between two tries. */
const pauseMs = 60

/** Deletes what no ref, mount or living transaction needs. BUSY when another collection, or fsck, is at it. */
export async function collectGarbage(root: string, options: GcOptions = {}): Promise<GcReport> {
  using collecting = tryLockCollector(root)
  if (collecting === undefined)
    throw new OnefoldError('BUSY', `Cannot collect garbage in "${root}": another collection, or a check, is at it`)
  const freed = new Freed()
  const { dryRun = false, keepYoungerThan, signal } = options
  const transactions = await clearDead(root, freed, dryRun)
  const marks = new Marks(root)
  const keptSince = keepYoungerThan === undefined ? undefined : Date.now() - keepYoungerThan
  const search = new GarbageSearch(root, marks, keptSince)
  search.mark()
  const plan = await search.plan(signal)
  if (dryRun) freed.addPlan(plan)
  else await sweepInSlices(root, new Sweep({ root, marks, search, objects: plan.objects, freed }), signal)
  return { dryRun, ...freed.report, transactions }
}

async function clearDead(root: string, freed: Freed, dryRun: boolean): Promise<number> {
  const dead = seizeDead(root)
  const disk = new DiskReader(root)
  for (const { path } of dead) visitFiles(path, (file, stat) => freed.addOther(disk.freedBy(file, stat)))
  if (dryRun) for (const { lock } of dead) closeSync(lock)
  else {
    await removeDead(root, dead)
    nameAgain(root)
  }
  return dead.length
}

async function sweepInSlices(root: string, sweep: Sweep, signal: AbortSignal | undefined): Promise<void> {
  for (let isOver = false; !isOver;) {
    {
      using _lock = await lockStore(root, 'exclusive', signal)
      const end = performance.now() + sliceMs
      sweep.begin()
      if (sweep.small()) await syncRoot(root)
      isOver = sweep.objects(end)
      // What has been deleted is room only now.
      if (sweep.isGenerationOld) await syncRoot(root)
      sweep.end()
    }
    if (!isOver) await sleep(pauseMs, undefined, signal === undefined ? {} : { signal })
  }
  await syncRoot(root)
}

async function syncRoot(root: string): Promise<void> {
  const fd = openSync(root, 'r')
  try {
    await syncfsAsync(fd)
  } catch (cause) {
    throw new OnefoldError('IO', `Cannot write to the file system of "${root}"`, { cause })
  } finally {
    closeSync(fd)
  }
}
