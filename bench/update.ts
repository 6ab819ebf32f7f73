import { serveLayout } from '../src/sources/registry/serve-layout.ts'
import type { PullPlan } from '../src/transfer/pull/plan-pull.ts'
import { buildImages, layout } from './build.ts'
import { output } from './command.ts'
import { updates } from './images.ts'
import { freshFs } from './loopfs.ts'
import { median, timed } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import { type Recoding, recode } from './recode.ts'
import { type Report, megabytes } from './report.ts'

const formats: readonly Recoding[] = ['zstd-chunked', 'estargz']

/** What one pull of a new version took. */
interface Update {
  readonly image: string
  readonly format: string
  readonly bytes: number
  readonly requests: number
  readonly wall: number
  readonly cpu: number
  /** Missing chunks as they lie in the blobs, and tables. */
  readonly least: number
}

/** Version 2 of five programs when version 1 is present, from a registry on loopback, against all of its gzip layers. */
export async function update({ rounds, say }: Options): Promise<Report> {
  const found: Update[] = []
  for (const [before, after] of updates) {
    const [old, fresh] = await buildImages([before, after], say)
    if (old === undefined || fresh === undefined) throw new Error('no image was built')
    found.push(await measure(old.name, fresh.name, 'gzip', rounds))
    for (const format of formats) {
      say(`writing ${before.name} and ${after.name} as ${format}`)
      found.push(await measure(await recode(old, format), await recode(fresh, format), format, rounds))
    }
  }
  const sum = (format: string, key: 'bytes' | 'least'): number =>
    found.filter((each) => each.format === format).reduce((total, each) => total + each[key], 0)
  const chunked = sum('zstd-chunked', 'bytes')
  return {
    bench: 'update',
    title: 'Pull a new version when the old one is there: what comes over the wire',
    goals: [
      { what: 'zstd:chunked, of all gzip layers', most: 0.22, got: chunked / sum('gzip', 'bytes') },
      { what: 'zstd:chunked, of missing chunks and tables', most: 1.03, got: chunked / sum('zstd-chunked', 'least') },
    ],
    columns: ['', 'format', 'MB', 'requests', 'wall s', 'CPU s', 'of least'],
    rows: found.map(({ image, format, bytes, requests, wall, cpu, least }) => [
      image,
      format,
      megabytes(bytes),
      requests,
      wall.toFixed(2),
      cpu.toFixed(2),
      (bytes / least).toFixed(3),
    ]),
    data: found,
  }
}

async function measure(before: string, after: string, format: string, rounds: number): Promise<Update> {
  const runs: Omit<Update, 'image' | 'format' | 'least'>[] = []
  let least = 0
  for (let round = 0; round < rounds; round++) {
    await using server = await serveLayout(layout)
    using fs = freshFs()
    const onefold = ['--quiet', '--store', `${fs.path}/store`]
    const pull = (tag: string): string[] => [...onefold, 'pull', '--name', 'app', `${server.host}/bench:${tag}`]
    await output(launcher, pull(before))
    const plan = await output(launcher, [...onefold, '--json', 'pull', '--plan', `${server.host}/bench:${after}`])
    least = (JSON.parse(plan) as PullPlan).total.leastBytes
    const served = { ...server.served }
    const run = await timed([launcher, ...pull(after)].join(' '))
    runs.push({
      bytes: server.served.bytes - served.bytes,
      requests: server.served.requests - served.requests,
      wall: run.wall,
      cpu: run.user + run.system,
    })
  }
  const of = (key: 'bytes' | 'requests' | 'wall' | 'cpu'): number => median(runs.map((run) => run[key]))
  return {
    image: after.replace(`-${format}`, ''),
    format,
    least,
    bytes: of('bytes'),
    requests: of('requests'),
    wall: of('wall'),
    cpu: of('cpu'),
  }
}
