import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { flock } from '../../src/linux/flock.ts'
import { projectRoot } from '../docs/markdown.ts'
import type { Ended } from '../fixtures/command.ts'
import { testCache } from '../fixtures/test-cache.ts'

const release = 'bookworm'
const mirror = 'http://deb.debian.org/debian'

/** Variables of ours that lead to the network; they name files below /etc/ssl, if any. */
const waysOut = /^(https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR))$/i

/**
 * Debian 12 with next to nothing in it but git and Debian's own Node and npm: where the commands of the README have to
 * work. What is done there is gone afterwards.
 */
export class BareDebian {
  readonly #system: string
  readonly #scratch: string

  /** @param scratch a folder on a disk, for what is written there; the checkout is in it as /root/onefold */
  constructor(system: string, scratch: string) {
    this.#system = system
    this.#scratch = scratch
    for (const folder of ['upper/root', 'work', 'merged', 'tmp', 'npm'])
      mkdirSync(join(scratch, folder), { recursive: true })
    copyCheckout(join(scratch, 'upper/root/onefold'))
  }

  /** Runs a shell command in the checkout, in namespaces of its own, so that nothing it mounts or starts stays. */
  run(command: string): Ended {
    const script = `${prepare}\nexec chroot "$merged" env -C /root/onefold sh -c "$command"`
    const args = ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-euc', script]
    const { status, stdout, stderr } = spawnSync('unshare', args, {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      env: {
        ...Object.fromEntries(Object.entries(process.env).filter(([name]) => waysOut.test(name))),
        ...npmSettings(),
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/root',
        system: this.#system,
        scratch: this.#scratch,
        cache: npmCache(),
        command,
      },
    })
    return { code: status, out: stdout, err: stderr }
  }
}

/** The store of the demo, below /var/tmp, has to lie on a disk: EROFS mounts no image that lies on overlayfs. */
const prepare = `
merged=$scratch/merged
mount -t overlay -o "lowerdir=$system,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$merged"
mount -t proc proc "$merged/proc"
for each in /sys /dev; do mount --rbind $each "$merged$each"; done
for each in /etc/ssl /etc/resolv.conf /etc/apt/apt.conf.d; do mount --bind "$each" "$merged$each"; done
mount --bind "$scratch/tmp" "$merged/var/tmp"
mkdir -p "$merged/root/.npm"
mount --bind "$cache" "$merged/root/.npm"
unset system scratch cache`

/** What git would bring: files it knows, as they are now, and new ones that it does not ignore. */
function copyCheckout(folder: string): void {
  const list = ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const names = execFileSync('git', list, { cwd: projectRoot, encoding: 'utf8' })
    .split('\0')
    .filter((name) => name !== '')
  for (const name of names) {
    const from = join(projectRoot, name)
    if (!existsSync(from)) continue
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    copyFileSync(from, join(folder, name))
  }
}

/** Where this machine's npm gets packages from, and whom it trusts. */
function npmSettings(): Record<string, string> {
  const get = (name: string): string =>
    execFileSync('npm', ['config', 'get', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  const cafile = get('cafile')
  return { npm_config_registry: get('registry'), ...(cafile !== 'null' && { npm_config_cafile: cafile }) }
}

function npmCache(): string {
  const folder = join(testCache(), 'npm')
  mkdirSync(folder, { recursive: true })
  return folder
}

/**
 * Calls `use` with the folder of such a system, made when there is none yet; nobody else uses it meanwhile.
 * @throws Error where it cannot be had
 */
export function withBareDebian<T>(use: (system: string) => T): T {
  mkdirSync(testCache(), { recursive: true })
  const folder = join(testCache(), 'bare-debian-1')
  const lock = openSync(`${folder}.lock`, 'a')
  try {
    flock(lock, 'exclusive')
    if (!existsSync(folder)) makeSystem(folder)
    return use(folder)
  } finally {
    closeSync(lock)
  }
}

function makeSystem(folder: string): void {
  const work = `${folder}.new`
  rmSync(work, { recursive: true, force: true })
  const packages = '--include=ca-certificates,git'
  execFileSync('unshare', ['--mount', 'debootstrap', '--variant=minbase', packages, release, work, mirror], {
    stdio: 'pipe',
  })
  // Not by debootstrap, which cannot tell in which order npm's four hundred packages need each other.
  const script = `
    mount -t proc proc "$work/proc"
    for each in /etc/resolv.conf /etc/apt/apt.conf.d; do mount --bind "$each" "$work$each"; done
    chroot "$work" apt-get update
    chroot "$work" apt-get install --yes --no-install-recommends nodejs npm
    chroot "$work" apt-get clean`
  execFileSync('unshare', ['--mount', 'sh', '-euc', script], {
    stdio: 'pipe',
    env: { ...process.env, work, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  })
  renameSync(work, folder)
}
