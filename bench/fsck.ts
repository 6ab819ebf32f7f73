import { buildImages } from './build.ts'
import { output } from './command.ts'
import { collection } from './images.ts'
import { freshFs } from './loopfs.ts'
import { median, timed } from './measure.ts'
import { launcher, oci } from './peers.ts'
import type { Options } from './pull.ts'
import { type Report, megabytes, seconds } from './report.ts'

/** What checks every byte of the same files; the first is the base of the ratios. */
const commands: Readonly<Record<string, (store: string, ostree: string) => string>> = {
  'sha256sum, two at a time': (store) =>
    `find '${store}/objects' -type f -print0 | xargs -0 -n 64 -P 2 sha256sum >/dev/null`,
  'onefold fsck': (store) => `${launcher} --quiet --store '${store}' fsck`,
  'onefold fsck --rebuild': (store) => `${launcher} --quiet --store '${store}' fsck --rebuild`,
  'onefold fsck --changed': (store) => `${launcher} --quiet --store '${store}' fsck --changed`,
  'ostree fsck': (_, ostree) => `ostree fsck --quiet --repo='${ostree}'`,
}

/** A store with all images of the collection, everything in the page cache. */
export async function checking({ rounds, say }: Options): Promise<Report> {
  const images = await buildImages(collection, say)
  using fs = freshFs({ gigabytes: 24 })
  const store = `${fs.path}/store`
  const ostree = `${fs.path}/ostree`
  for (const image of images)
    await output(launcher, ['--quiet', '--store', store, 'pull', oci(image), '--name', image.name])
  await output('ostree', ['init', `--repo=${ostree}`, '--mode=bare-user-only'])
  await output('ostree', ['commit', `--repo=${ostree}`, '--branch=all', `--tree=dir=${store}/objects`, '--no-bindings'])
  const { checked } = JSON.parse(await output(launcher, ['--json', '--store', store, 'fsck'])) as {
    checked: { objects: number; objectBytes: number }
  }
  const measured = await sideBySide(store, ostree, rounds, say)
  const ours = measured.find(({ name }) => name === 'onefold fsck')
  const { objects, objectBytes } = checked
  return {
    bench: 'fsck',
    title: `Check ${objects} objects of ${megabytes(objectBytes)} MB, in the page cache`,
    goals: [{ what: 'seconds of onefold fsck for a GB', most: 1 / 1.2, got: (ours?.wall ?? 0) / (objectBytes / 1e9) }],
    columns: ['', 'ratio', 'wall s', 'GB/s', 'user s', 'sys s', 'RSS MB'],
    rows: measured.map(({ name, ratio, wall, user, system, rss }) => [
      name,
      ratio.toFixed(2),
      seconds(wall),
      (objectBytes / 1e9 / wall).toFixed(2),
      seconds(user),
      seconds(system),
      megabytes(rss),
    ]),
    data: measured,
  }
}

async function sideBySide(store: string, ostree: string, rounds: number, say: Options['say']) {
  const runs = Object.entries(commands).map(([name, command]) => ({
    name,
    command: command(store, ostree),
    runs: [] as Awaited<ReturnType<typeof timed>>[],
  }))
  for (let round = -1; round < rounds; round++)
    for (const each of runs) {
      const run = await timed(each.command)
      say(`${each.name}: ${run.wall.toFixed(2)} s`)
      if (round >= 0) each.runs.push(run) // the first fills the caches
    }
  const base = median(runs[0]?.runs.map(({ wall }) => wall) ?? [])
  return runs.map(({ name, runs: own }) => {
    const of = (key: 'wall' | 'user' | 'system' | 'rss'): number => median(own.map((run) => run[key]))
    return { name, ratio: of('wall') / base, wall: of('wall'), user: of('user'), system: of('system'), rss: of('rss') }
  })
}
