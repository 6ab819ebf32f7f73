import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { output } from './command.ts'
import { freshFs } from './loopfs.ts'
import { median } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import type { Report } from './report.ts'
import { type TreeShape, treeImage } from './trees.ts'

const child = fileURLToPath(new URL('children/mounts.ts', import.meta.url))
const shapes: readonly TreeShape[] = [
  { files: 10, layers: 1 },
  { files: 1000, layers: 100 },
  { files: 15_000, layers: 4 },
  { files: 150_000, layers: 4 },
]

/** Mount and unmount inside a process: what it costs must not depend on the image. */
export async function mounting({ rounds, say }: Options): Promise<Report> {
  const pairs: number[][] = shapes.map(() => [])
  using fs = freshFs()
  const target = `${fs.path}/mnt`
  mkdirSync(target)
  for (const shape of shapes) {
    say(`storing ${nameOf(shape)}`)
    const image = await treeImage(shape)
    await output(launcher, ['--quiet', '--store', `${fs.path}/store`, 'pull', image, '--name', nameOf(shape)])
  }
  for (let round = 0; round < rounds; round++)
    for (const [index, shape] of shapes.entries()) {
      const printed = await output(process.execPath, [child, `${fs.path}/store`, nameOf(shape), target, '100'])
      pairs[index]?.push(median(JSON.parse(printed) as number[]))
    }
  const medians = pairs.map(median)
  return {
    bench: 'mount',
    title: 'Mount and unmount inside a process',
    goals: [
      { what: 'milliseconds, the slowest', most: 1.5, got: Math.max(...medians) },
      { what: 'the slowest by the fastest', most: 1.5, got: Math.max(...medians) / Math.min(...medians) },
    ],
    columns: ['image', 'ms'],
    rows: shapes.map((shape, index) => [nameOf(shape), medians[index]?.toFixed(2) ?? '']),
    data: shapes.map((shape, index) => ({ ...shape, milliseconds: pairs[index] })),
  }
}

function nameOf({ files, layers }: TreeShape): string {
  return `${files} files in ${layers} ${layers === 1 ? 'layer' : 'layers'}`
}
