import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { started } from './command.ts'
import { type FsKind, type LoopFs, freshFs } from './loopfs.ts'
import { benchFolder } from './images.ts'

/** One of the programs that are compared. Commands are lines of shell; each run has a file system of its own. */
export interface Contender {
  readonly name: string
  /** Brings the file system, or a service, to where the measured command starts. Not measured. */
  prepare?(fs: LoopFs): Promise<void>
  command(fs: LoopFs): string
  /** Throws when the command did not do its work; cleans up after it. Not measured. */
  finish?(fs: LoopFs): Promise<void>
}

/** Seconds and bytes of one run. */
export interface Run {
  readonly wall: number
  readonly user: number
  readonly system: number
  /** Of the largest process of the command. */
  readonly rss: number
  /** What the file system holds afterwards. */
  readonly disk: number
}

export interface Measured extends Run {
  readonly name: string
  /** Median over the rounds of wall time by that of the base in the same round; and its extremes. */
  readonly ratio: number
  readonly spread: readonly [least: number, most: number]
  readonly runs: readonly Run[]
}

/**
 * Runs the contenders one after another, `rounds` times over (A B C A B C …), so that whatever else the machine does
 * meets all of them alike; the first is the base of the ratios. What they write is on the disk when the clock stops.
 */
export async function compare(
  contenders: readonly Contender[],
  { rounds = 5, kind = 'ext4' as FsKind, say = (_line: string): void => {} } = {},
): Promise<Measured[]> {
  const runs = contenders.map((): Run[] => [])
  for (let round = 0; round < rounds; round++)
    for (const [index, contender] of contenders.entries()) {
      const run = await once(contender, kind)
      runs[index]?.push(run)
      say(`round ${round + 1} of ${rounds}: ${contender.name} ${run.wall.toFixed(2)} s`)
    }
  const base = runs[0] ?? []
  return contenders.map(({ name }, index) => summarize(name, runs[index] ?? [], base))
}

async function once(contender: Contender, kind: FsKind): Promise<Run> {
  using fs = freshFs({ kind })
  await contender.prepare?.(fs)
  const run = await timed(`${contender.command(fs)} && sync -f '${fs.path}'`)
  const disk = fs.used()
  await contender.finish?.(fs)
  return { ...run, disk }
}

/** Wall time by our clock; the rest by GNU time, which hears it from the kernel about all the command's processes. */
export async function timed(command: string): Promise<Omit<Run, 'disk'>> {
  const report = join(benchFolder, `time-${process.pid}`)
  const start = performance.now()
  const { ended } = started('time', ['-q', '-f', '%U %S %M', '-o', report, 'sh', '-c', command], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await ended
  const wall = (performance.now() - start) / 1000
  const [user = 0, system = 0, kilobytes = 0] = (await readFile(report, 'utf8')).trim().split(' ').map(Number)
  await rm(report)
  return { wall, user, system, rss: kilobytes * 1024 }
}

function summarize(name: string, runs: readonly Run[], base: readonly Run[]): Measured {
  const ratios = runs.map(({ wall }, round) => wall / (base[round]?.wall ?? Number.NaN))
  const of = (key: keyof Run) => median(runs.map((run) => run[key]))
  return {
    name,
    wall: of('wall'),
    user: of('user'),
    system: of('system'),
    rss: of('rss'),
    disk: of('disk'),
    ratio: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
    runs,
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}
