import { readFile } from 'node:fs/promises'
import { type BuiltImage, buildImages, layerFiles } from './build.ts'
import { type ImageSpec, app, hundred, rebuild } from './images.ts'
import { type Measured, compare } from './measure.ts'
import { type Peer, contender, gzip, onefold, peers, tar } from './peers.ts'
import { type Goal, type Report, megabytes, seconds } from './report.ts'

export interface Options {
  readonly rounds: number
  readonly say: (line: string) => void
  /** Only contenders whose name begins with one of these, and the base. */
  readonly only?: readonly string[] | undefined
}

export const pullApp = (options: Options) => pulling('pull', app, undefined, tar, 0.45, options)

export const pullRebuild = (options: Options) => pulling('rebuild', rebuild, app, tar, 0.35, options)

export const pullHundred = (options: Options) => pulling('hundred', hundred, undefined, gzip, 1.1, options)

/** Pull and store, durable, from a local OCI layout in the page cache, against a base that only unpacks. */
async function pulling(
  bench: string,
  spec: ImageSpec,
  beforeSpec: ImageSpec | undefined,
  base: Peer,
  most: number,
  { rounds, say, only }: Options,
): Promise<Report> {
  const [image, before] = await buildImages(beforeSpec === undefined ? [spec] : [spec, beforeSpec], say)
  if (image === undefined) throw new Error('no image was built')
  await warm([image])
  const floor = base === tar ? gzip : tar
  const others = [contender(floor, image), ...[onefold, ...peers].map((peer) => contender(peer, image, before))]
  const chosen = others.filter(({ name }) => only === undefined || only.some((start) => name.startsWith(start)))
  const measured = await compare([contender(base, image), ...chosen], { rounds, say })
  return {
    bench,
    title: `Pull ${describe(image)}${before === undefined ? '' : `, on top of ${describe(before)}`}, by wall time of ${measured[0]?.name}`,
    goals: goalsOf(measured, most),
    columns: ['', 'ratio', 'spread', 'wall s', 'user s', 'sys s', 'RSS MB', 'disk MB'],
    rows: measured.map(row),
    data: measured,
  }
}

/** For tables with these columns: ratio, spread, wall, user, system, RSS, disk. */
export function row({ name, ratio, spread, wall, user, system, rss, disk }: Measured): string[] {
  const range = spread.map((value) => value.toFixed(2)).join('–')
  return [name, ratio.toFixed(2), range, seconds(wall), seconds(user), seconds(system), megabytes(rss), megabytes(disk)]
}

function goalsOf(measured: readonly Measured[], most: number): Goal[] {
  const ours = measured.find(({ name }) => name === 'onefold')
  return ours === undefined ? [] : [{ what: `onefold by ${measured[0]?.name}`, most, got: ours.ratio }]
}

export function describe({ name, layers }: BuiltImage): string {
  const files = layers.flatMap((layer) => layer.files)
  const bytes = files.reduce((sum, [, size]) => sum + size, 0)
  return `${name} (${layers.length} layers, ${files.length} files, ${megabytes(bytes)} MB)`
}

/** Reads the inputs once, so that no contender pays for the disk. */
async function warm(images: readonly BuiltImage[]): Promise<void> {
  for (const file of images.flatMap(layerFiles)) await readFile(file)
}
