import { statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildImages } from './build.ts'
import { output } from './command.ts'
import { app } from './images.ts'
import { type Contender, compare } from './measure.ts'
import { plainCopy } from './plain.ts'
import { type Options, row } from './pull.ts'
import { type Report, megabytes } from './report.ts'

const child = fileURLToPath(new URL('children/chunk.ts', import.meta.url))

/** Cuts the largest layer of an image into chunks of 64 KiB on average; casync has all chunks already, and stores none. */
export async function chunking({ rounds, say }: Options): Promise<Report> {
  const [image] = await buildImages([app], say)
  if (image === undefined) throw new Error('no image was built')
  const file = await largestFile(await plainCopy(image))
  const bytes = statSync(file).size
  const casync = (path: string): string =>
    `casync make --chunk-size=auto --digest=sha256 --store='${path}/store' '${path}/x.caibx' '${file}' >/dev/null`
  const contenders: Contender[] = [
    {
      name: 'casync',
      prepare: async ({ path }) => {
        await output('sh', ['-c', casync(path)])
      },
      command: ({ path }) => casync(path),
    },
    ...['rollsum', 'fastcdc'].flatMap((kind) =>
      ['cut', 'hashed'].map((how) => ({
        name: `${kind}, ${how}`,
        command: () => `'${process.execPath}' '${child}' ${kind} ${how} '${file}'`,
      })),
    ),
  ]
  const measured = await compare(contenders, { rounds, say })
  return {
    bench: 'chunks',
    title: `Cut ${megabytes(bytes)} MB of tar into chunks, by wall time of casync`,
    goals: [],
    columns: ['', 'MB/s', 'MB/s of CPU', 'ratio', 'spread', 'wall s', 'user s', 'sys s', 'RSS MB', 'disk MB'],
    rows: measured.map((each) => {
      const [name = '', ...rest] = row(each)
      return [name, (bytes / each.wall / 1e6).toFixed(0), (bytes / (each.user + each.system) / 1e6).toFixed(0), ...rest]
    }),
    data: measured,
  }
}

async function largestFile(folder: string): Promise<string> {
  const paths = (await readdir(folder)).map((name) => join(folder, name))
  const [largest = ''] = paths.toSorted((a, b) => statSync(b).size - statSync(a).size)
  return largest
}
