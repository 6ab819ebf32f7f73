import { serveLayout } from '../src/sources/registry/serve-layout.ts'
import { buildImages, layout } from './build.ts'
import { output } from './command.ts'
import { app } from './images.ts'
import { freshFs } from './loopfs.ts'
import { type Run, median, timed } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import type { Report } from './report.ts'

/** A second pull of what is there already, from a registry on loopback: time, requests and bytes. */
export async function again({ rounds, say }: Options): Promise<Report> {
  await buildImages([app], say)
  await using server = await serveLayout(layout)
  using fs = freshFs()
  const pull = ['--quiet', '--store', `${fs.path}/store`, 'pull', `${server.host}/bench:${app.name}`]
  await output(launcher, pull)
  const walls: number[] = []
  const runs: Omit<Run, 'disk'>[] = []
  const before = { ...server.served }
  for (let round = 0; round < rounds; round++) {
    const run = await timed([launcher, ...pull].join(' '))
    walls.push(run.wall)
    runs.push(run)
  }
  const requests = (server.served.requests - before.requests) / rounds
  const bytes = (server.served.bytes - before.bytes) / rounds
  return {
    bench: 'again',
    title: 'Pull from a registry what is there already',
    goals: [{ what: 'requests', most: 2, got: requests }],
    columns: ['', 'ms', 'requests', 'bytes received'],
    rows: [['onefold', (median(walls) * 1000).toFixed(0), requests, bytes]],
    data: { requests, bytes, runs },
  }
}
