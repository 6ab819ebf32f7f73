import { execFileSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { testCache } from '../fixtures/test-cache.ts'

/** What a guest boots: a stock Debian kernel with its modules, and a busybox to get it going. */
export interface GuestFiles {
  readonly kernel: string
  /** `…/kernel`: modules as `fs/erofs/erofs.ko.xz`. */
  readonly modules: string
  readonly busybox: string
}

/** Debian 12's own kernel is 6.1; backports have one with all that mounts want. */
const suites = ['bookworm', 'bookworm-backports']
const kernelPackage = 'linux-image-cloud-amd64'
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Gets them from Debian's archive, signatures checked by apt, without touching the packages of this machine; kept in a
 * folder of their own, so that the next run needs no network. @returns why not, where they cannot be had
 */
export function guestFiles(): GuestFiles | string {
  const folder = join(testCache(), 'verity-guest-1')
  try {
    if (!existsSync(folder)) download(folder)
  } catch (error) {
    return `needs a kernel from Debian's archive: ${String(error instanceof Error ? error.message : error).split('\n', 1)[0]}`
  }
  const [kernel, modules] = [globSync(`${folder}/boot/vmlinuz-*`), globSync(`${folder}/lib/modules/*/kernel`)]
  return { kernel: only(kernel), modules: only(modules), busybox: join(folder, 'bin/busybox') }
}

function download(folder: string): void {
  const work = `${folder}.${process.pid}`
  mkdirSync(`${work}/apt/lists/partial`, { recursive: true })
  mkdirSync(`${work}/apt/cache/archives/partial`, { recursive: true })
  try {
    writeFileSync(
      `${work}/apt/sources.list`,
      suites
        .map((suite) => `deb [arch=amd64 signed-by=${keyring}] http://deb.debian.org/debian ${suite} main\n`)
        .join(''),
    )
    writeFileSync(`${work}/apt/status`, '')
    const apt = privateApt(`${work}/apt`)
    apt('apt-get', 'update')
    const [, exact] = /Depends: (linux-image-\S+)/.exec(apt('apt-cache', 'depends', kernelPackage)) ?? []
    if (exact === undefined) throw new Error(`${kernelPackage} names no kernel`)
    apt('apt-get', 'download', exact, 'busybox-static')
    for (const file of globSync(`${work}/apt/*.deb`)) execFileSync('dpkg', ['-x', file, `${work}/files`])
    renameSync(`${work}/files`, folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** apt with nothing of the machine's but its ways to the network. */
function privateApt(root: string): (program: string, ...args: string[]) => string {
  const settings = {
    'Dir::Etc::sourcelist': `${root}/sources.list`,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State': root,
    'Dir::State::lists': `${root}/lists`,
    'Dir::State::status': `${root}/status`,
    'Dir::Cache': `${root}/cache`,
    'APT::Architecture': 'amd64',
    'APT::Default-Release': 'bookworm-backports',
    'APT::Sandbox::User': 'root',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  return (program, ...args) =>
    execFileSync(program, [...options, '-q', ...args], { cwd: root, encoding: 'utf8', timeout: 120_000, stdio: 'pipe' })
}

function only(paths: readonly string[]): string {
  const [path] = paths
  if (path === undefined || paths.length > 1) throw new Error(`expected one file, found ${paths.join(', ') || 'none'}`)
  return path
}
