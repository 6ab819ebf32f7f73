import { median, timed } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import type { Report } from './report.ts'

const commands: Readonly<Record<string, string>> = {
  'onefold --help': `${launcher} --help`,
  'onefold version': `${launcher} version`,
  'node, an empty program': `${process.execPath} -e 0`,
  'podman --help': 'podman --help',
}

/** From nothing to the prompt again, with compiled code in its cache. */
export async function starting({ rounds }: Options): Promise<Report> {
  const walls = Object.entries(commands).map(([name, command]) => ({ name, command, milliseconds: [] as number[] }))
  for (let round = -1; round < 4 * rounds; round++)
    for (const { command, milliseconds } of walls) {
      const { wall } = await timed(command)
      if (round >= 0) milliseconds.push(wall * 1000) // the first fills the caches
    }
  return {
    bench: 'start',
    title: 'Start to end of small commands, among them those of a shell and of time(1)',
    goals: [{ what: 'milliseconds of onefold --help', most: 60, got: median(walls[0]?.milliseconds ?? []) }],
    columns: ['', 'ms'],
    rows: walls.map(({ name, milliseconds }) => [name, median(milliseconds).toFixed(0)]),
    data: walls,
  }
}
