import { mkdirSync } from 'node:fs'
import { buildImages, layerFiles } from './build.ts'
import { output } from './command.ts'
import { app } from './images.ts'
import { freshFs } from './loopfs.ts'
import { median, timed } from './measure.ts'
import { launcher, oci } from './peers.ts'
import type { Options } from './pull.ts'
import { type Report, seconds } from './report.ts'

const commands = {
  'find, all metadata': (root: string) => `find '${root}' -printf '%s%m%U%T@' >/dev/null`,
  'open and read every file': (root: string) => `find '${root}' -type f -print0 | xargs -0 cat >/dev/null`,
}

/** Walking and reading through the mount, beside the same tree unpacked on the same file system. All in page cache. */
export async function reading({ rounds, say }: Options): Promise<Report> {
  const [image] = await buildImages([app], say)
  if (image === undefined) throw new Error('no image was built')
  using fs = freshFs()
  const [host, mounted, store] = ['host', 'mounted', 'store'].map((name) => `${fs.path}/${name}`) as [
    string,
    string,
    string,
  ]
  mkdirSync(host)
  mkdirSync(mounted)
  for (const blob of layerFiles(image)) await output('tar', ['-xzpf', blob, '-C', host])
  await output(launcher, ['--quiet', '--store', store, 'pull', oci(image), '--name', 'app'])
  await output(launcher, ['--quiet', '--store', store, 'mount', 'app', mounted])
  try {
    const rows = []
    for (const [what, command] of Object.entries(commands))
      rows.push({ what, ...(await sideBySide(command, host, mounted, rounds)) })
    return {
      bench: 'read',
      title: `Reading through the mount, by the same on the host's own file system`,
      goals: [],
      columns: ['', 'ratio', 'host s', 'mount s'],
      rows: rows.map(({ what, ratio, onHost, onMount }) => [what, ratio.toFixed(2), seconds(onHost), seconds(onMount)]),
      data: rows,
    }
  } finally {
    await output(launcher, ['--quiet', '--store', store, 'umount', mounted])
  }
}

async function sideBySide(command: (root: string) => string, host: string, mounted: string, rounds: number) {
  const walls: { onHost: number; onMount: number }[] = []
  for (let round = -1; round < rounds; round++) {
    const onHost = (await timed(command(host))).wall
    const onMount = (await timed(command(mounted))).wall
    if (round >= 0) walls.push({ onHost, onMount }) // the first fills the caches
  }
  return {
    ratio: median(walls.map(({ onHost, onMount }) => onMount / onHost)),
    onHost: median(walls.map(({ onHost }) => onHost)),
    onMount: median(walls.map(({ onMount }) => onMount)),
  }
}
