import { buildImages } from './build.ts'
import { output } from './command.ts'
import { collection } from './images.ts'
import { freshFs } from './loopfs.ts'
import { median, timed } from './measure.ts'
import { launcher, onefold } from './peers.ts'
import type { Options } from './pull.ts'
import type { Report } from './report.ts'

/** What images take on the disk: time, and how far the sum is from what the file system says. */
export async function usage({ rounds, say }: Options): Promise<Report> {
  const images = await buildImages(collection, say)
  using fs = freshFs()
  for (const image of images) {
    say(`onefold stores ${image.name}`)
    await output('sh', ['-c', onefold.store(fs.path, image)])
  }
  const used = fs.used()
  const store = `${fs.path}/store`
  const total = totalOf(await output(launcher, ['--store', store, '--json', 'du']))
  const commands = [`${launcher} --store '${store}' du`, `du -s '${store}'`]
  const walls = commands.map((): number[] => [])
  for (let round = -1; round < rounds; round++)
    for (const [index, command] of commands.entries()) {
      const { wall } = await timed(command)
      if (round >= 0) walls[index]?.push(wall) // the first fills the caches
    }
  const [ours = Number.NaN, theirs = Number.NaN] = walls.map(median)
  return {
    bench: 'du',
    title: `What ${images.length} images take on the disk`,
    goals: [
      { what: 'seconds', most: 1, got: ours },
      { what: 'distance from what statfs(2) says', most: 0.01, got: Math.abs(total / used - 1) },
    ],
    columns: ['', 'ms', 'ratio'],
    rows: [
      ['onefold du', (ours * 1000).toFixed(0), (ours / theirs).toFixed(2)],
      ['du -s', (theirs * 1000).toFixed(0), '1.00'],
    ],
    data: { walls, total, used },
  }
}

function totalOf(json: string): number {
  const { store } = JSON.parse(json) as { readonly store: { readonly total: number } }
  return store.total
}
