import { hash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { output } from './command.ts'
import { benchFolder } from './images.ts'
import { type Contender, type Measured, compare } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import { type Goal, type Report, megabytes, seconds } from './report.ts'

const ours = fileURLToPath(new URL('../bin/composefs', import.meta.url))
const entries = 192_000
const links = 200_000

/** One thing to do, by composefs' own tool when it is there, and what is to be reached beside it and alone. */
interface Case {
  readonly what: string
  readonly ours: (folder: string) => string
  readonly theirs?: (tools: string, folder: string) => string
  readonly mostOfTheirs?: number
  readonly mostSeconds?: number
  readonly prepare?: (folder: string) => Promise<unknown>
}

/**
 * composefs images out of dumps and directories, and back. Debian 12 has no composefs: a `mkcomposefs` on PATH that is not
 * ours is compared with, and without one there are only our own times.
 */
export async function composefs({ rounds, say }: Options): Promise<Report> {
  const dump = input('tree.dump', treeLines)
  const linked = input('links.dump', linkLines)
  const gibibyte = join(benchFolder, 'composefs', 'gibibyte')
  if (!existsSync(gibibyte)) await output('dd', ['if=/dev/urandom', `of=${gibibyte}`, 'bs=1M', 'count=1024'])
  const tools = peerTools()
  if (tools === undefined) say('no mkcomposefs of composefs on PATH: nothing to compare with, but fsverity')
  const measured: [Case, readonly Measured[]][] = []
  for (const each of cases(dump, linked, gibibyte)) {
    say(each.what)
    measured.push([each, await compare(contenders(each, tools), { rounds, say })])
  }
  return report(measured)
}

function cases(dump: string, linked: string, gibibyte: string): Case[] {
  const image = join(benchFolder, 'composefs', 'tree.cfs')
  const makeImage = (): Promise<string> => output(`${ours}/mkcomposefs`, ['--from-file', dump, image])
  const scan = (folder: string): string => `${launcher} --quiet image create /usr --cache '${folder}/cache'`
  return [
    {
      what: `image of a dump of ${entries} entries`,
      ours: (folder) => `${ours}/mkcomposefs --from-file ${dump} '${folder}/ours.cfs'`,
      theirs: (path, folder) => `${path}/mkcomposefs --from-file ${dump} '${folder}/theirs.cfs'`,
      mostOfTheirs: 1,
    },
    {
      what: 'dump of that image',
      prepare: makeImage,
      ours: () => `${ours}/composefs-info dump ${image} >/dev/null`,
      theirs: (path) => `${path}/composefs-info dump ${image} >/dev/null`,
      mostOfTheirs: 1,
    },
    {
      what: 'scan of /usr, two threads',
      ours: (folder) => `${ours}/mkcomposefs --threads=2 /usr '${folder}/ours.cfs'`,
      theirs: (path, folder) => `${path}/mkcomposefs --threads=2 /usr '${folder}/theirs.cfs'`,
      mostOfTheirs: 0.9,
    },
    {
      what: 'second scan of /usr',
      prepare: (folder) => output('sh', ['-c', scan(folder)]),
      ours: scan,
      mostSeconds: 0.5,
    },
    {
      what: `image of a dump with ${links} hard links`,
      ours: (folder) => `${ours}/mkcomposefs --from-file ${linked} '${folder}/ours.cfs'`,
      theirs: (path, folder) => `${path}/mkcomposefs --from-file ${linked} '${folder}/theirs.cfs'`,
      mostSeconds: 1.5,
    },
    {
      what: 'fs-verity digest of 1 GiB',
      ours: () => `${launcher} digest --file ${gibibyte}`,
      theirs: () => `fsverity digest ${gibibyte}`,
      mostOfTheirs: 0.6,
    },
  ]
}

/** The base of the ratios is the peer where there is one. */
function contenders({ ours: our, theirs, prepare }: Case, tools: string | undefined): Contender[] {
  const needsTools = theirs?.('@', '').startsWith('@') === true
  const ready =
    prepare === undefined ? {} : { prepare: async ({ path }: { path: string }) => void (await prepare(path)) }
  const onefold: Contender = { name: 'onefold', ...ready, command: ({ path }) => our(path) }
  if (theirs === undefined || (needsTools && tools === undefined)) return [onefold]
  const name = needsTools ? 'composefs' : 'fsverity'
  return [{ name, ...ready, command: ({ path }) => theirs(tools ?? '', path) }, onefold]
}

function report(measured: readonly [Case, readonly Measured[]][]): Report {
  const goals = measured.flatMap(([{ what, mostOfTheirs, mostSeconds }, runs]): Goal[] => {
    const own = runs.at(-1)
    if (own === undefined) return []
    const beside = mostOfTheirs !== undefined && runs.length > 1
    return [
      ...(beside ? [{ what: `${what}: times the other's`, most: mostOfTheirs, got: own.ratio }] : []),
      ...(mostSeconds === undefined ? [] : [{ what: `${what}: seconds`, most: mostSeconds, got: own.wall }]),
    ]
  })
  return {
    bench: 'composefs',
    title: 'composefs images: dumps, directories, digests',
    goals,
    columns: ['', 'wall s', 'user s', 'sys s', 'RSS MB', 'ratio'],
    rows: measured.flatMap(([{ what }, runs]) =>
      runs.map(({ name, wall, user, system, rss, ratio }) => [
        `${what}: ${name}`,
        seconds(wall),
        seconds(user),
        seconds(system),
        megabytes(rss),
        ratio.toFixed(2),
      ]),
    ),
    data: measured.map(([{ what }, runs]) => ({ what, runs })),
  }
}

/** The folder on PATH whose mkcomposefs is not ours. */
function peerTools(): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .find((folder) => folder !== ours && existsSync(join(folder, 'mkcomposefs')))
}

function input(name: string, lines: () => Iterable<string>): string {
  const folder = join(benchFolder, 'composefs')
  const path = join(folder, name)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  writeFileSync(path, [...lines()].join(''))
  return path
}

/** As a distribution's /usr has it: most are files with an object and a label, times differ, some objects repeat. */
function* treeLines(): Generator<string> {
  const label = 'security.selinux=system_u:object_r:usr_t:s0\\x00'
  yield '/ 4096 40755 2 0 0 0 1700000000.0 - - -\n'
  yield '/usr 4096 40755 2 0 0 0 1700000000.0 - - -\n'
  for (let number = 2, folder = ''; number < entries; number++) {
    const mtime = 1_600_000_000 + ((number * 7919) % 90_000_000)
    const name = `${folder}/component-${String(number % 15).padStart(2, '0')}`
    switch (number % 15) {
      case 2:
        folder = `/usr/directory-${String(number).padStart(6, '0')}`
        yield `${folder} 4096 40755 2 0 0 0 ${mtime}.0 - - - ${label}\n`
        break
      case 3:
        yield `${name} 9 120777 1 0 0 0 ${mtime}.0 ../target - -\n`
        break
      case 4:
        yield `${name} 5 100644 1 0 0 0 ${mtime}.0 - hello - ${label}\n`
        break
      default: {
        const digest = hash('sha256', String(number % 13 === 0 ? number % 1000 : number))
        const place = `${digest.slice(0, 2)}/${digest.slice(2)}`
        yield `${name} ${1000 + number} 100644 1 0 0 0 ${mtime}.123456789 ${place} - ${digest} ${label}\n`
      }
    }
  }
}

function* linkLines(): Generator<string> {
  yield '/ 0 40755 2 0 0 0 0.0 - - -\n'
  for (let file = 0; file < 1000; file++) yield `/file-${file} 5 100644 1 0 0 0 0.0 - hello -\n`
  for (let link = 0; link < links; link++) yield `/link-${link} 0 @100644 0 0 0 0 0.0 /file-${link % 1000} - -\n`
}
