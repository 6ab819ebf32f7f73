import { fileURLToPath } from 'node:url'
import { output } from './command.ts'
import { compare } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import { type Report, megabytes, seconds } from './report.ts'
import { treeImage } from './trees.ts'

const child = fileURLToPath(new URL('children/compose.ts', import.meta.url))
const shape = { files: 150_000, layers: 4 }

/** The composefs image of a large tree, from recipes in the store to a durable file in it: time and memory of a process. */
export async function composing({ rounds, say }: Options): Promise<Report> {
  const image = await treeImage(shape)
  const [measured] = await compare(
    [
      {
        name: 'compose',
        prepare: async ({ path }) => {
          await output(launcher, ['--quiet', '--store', `${path}/store`, 'pull', image, '--name', 'tree'])
        },
        command: ({ path }) => `${process.execPath} ${child} '${path}/store' tree`,
      },
    ],
    { rounds, say },
  )
  if (measured === undefined) throw new Error('nothing was measured')
  const { wall, user, system, rss } = measured
  return {
    bench: 'compose',
    title: `Image of a tree of ${shape.files} entries in ${shape.layers} layers, from recipes, durable`,
    goals: [
      { what: 'seconds', most: 1.2, got: wall },
      { what: 'MB of memory', most: 250, got: rss / 1e6 },
    ],
    columns: ['', 'wall s', 'user s', 'sys s', 'RSS MB'],
    rows: [['onefold', seconds(wall), seconds(user), seconds(system), megabytes(rss)]],
    data: measured,
  }
}
