import { mkdir } from 'node:fs/promises'
import { makeGarbageStore } from './garbage-store.ts'
import { benchFolder } from './images.ts'
import { freshFs } from './loopfs.ts'
import { timed } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import { type Report, megabytes, round, seconds } from './report.ts'

const sizes = [250_000, 1_000_000]
/** Files of a block each; one inode per 16 KiB, as mkfs.ext4 makes them, is enough for a million and a quarter. */
const gigabytes = 20

interface Collected {
  readonly objects: number
  readonly marked: Timed
  readonly collected: Timed
  /** The other half, which the collection has left. */
  readonly deleted: Timed
}

type Timed = Awaited<ReturnType<typeof timed>>

/** Collections of stores of which half is garbage, and find(1), which need not think, deleting as many files. */
export async function collecting({ say }: Options): Promise<Report> {
  await mkdir(benchFolder, { recursive: true })
  const results: Collected[] = []
  for (const objects of sizes) results.push(await collect(objects, say))
  const [least, most] = [results[0], results.at(-1)]
  if (least === undefined || most === undefined) throw new Error('nothing was measured')
  const perObject = ({ objects, marked }: Collected): number => marked.wall / objects
  return {
    bench: 'gc',
    title: 'Garbage collection, half of the objects being garbage',
    goals: [
      { what: `seconds for ${most.objects} objects`, most: 30, got: most.collected.wall },
      { what: 'MB of memory', most: 300, got: most.collected.rss / 1e6 },
      {
        what: `time to mark an object, of ${most.objects} by of ${least.objects}`,
        most: 1.25,
        got: perObject(most) / perObject(least),
      },
    ],
    columns: ['objects', 'dry run s', 'gc s', 'user s', 'sys s', 'RSS MB', 'find -delete s', 'ratio'],
    rows: results.map(({ objects, marked, collected, deleted }) => [
      String(objects),
      seconds(marked.wall),
      seconds(collected.wall),
      seconds(collected.user),
      seconds(collected.system),
      megabytes(collected.rss),
      seconds(deleted.wall),
      round(collected.wall / deleted.wall),
    ]),
    data: results,
  }
}

async function collect(objects: number, say: Options['say']): Promise<Collected> {
  using fs = freshFs({ gigabytes })
  say(`making a store of ${objects} objects`)
  const store = `${fs.path}/store`
  await makeGarbageStore(store, objects)
  fs.used()
  const gc = `${launcher} --quiet --store '${store}' gc`
  const synced = (command: string): Promise<Timed> => timed(`${command} && sync -f '${fs.path}'`)
  say('collecting')
  const marked = await synced(`${gc} --dry-run`)
  const collected = await synced(gc)
  const deleted = await synced(`find '${store}/objects' -type f -delete`)
  return { objects, marked, collected, deleted }
}
