import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { output } from './command.ts'

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** The second is the first with the security updates that have come since. */
export type Suite = 'bookworm' | 'bookworm-security' | 'trixie'

export interface Package {
  readonly name: string
  readonly version: string
}

/**
 * A release of Debian as seen by an apt of its own, in which nothing is installed: neither the machine's sources nor
 * its installed packages play a part, so every machine resolves the same names to the same packages.
 */
export class Apt {
  readonly #options: readonly string[]
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
    const settings = {
      'Dir::Etc::sourcelist': join(folder, 'sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::State::lists': join(folder, 'lists'),
      'Dir::State::status': '/dev/null',
      'Dir::Cache': folder,
      'Debug::NoLocking': '1',
      'APT::Sandbox::User': 'root',
      'APT::Install-Recommends': '0',
    }
    this.#options = ['-qq', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])]
  }

  /** Uses the lists in `folder`, fetched from the machine's own mirror when there are none. */
  static async open(folder: string, suite: Suite): Promise<Apt> {
    const apt = new Apt(folder)
    if (existsSync(join(folder, 'ready'))) return apt
    await mkdir(join(folder, 'lists/partial'), { recursive: true })
    await mkdir(join(folder, 'archives/partial'), { recursive: true })
    await mkdir(join(folder, 'debs'), { recursive: true })
    await writeFile(join(folder, 'sources.list'), await sourcesOf(suite))
    await output('apt-get', [...apt.#options, 'update'])
    await writeFile(join(folder, 'ready'), '')
    return apt
  }

  /** What an empty system would install to get these packages, sorted by name. */
  async closure(names: readonly string[]): Promise<Package[]> {
    const plan = await output('apt-get', [...this.#options, '--simulate', '--yes', 'install', ...names])
    return plan
      .split('\n')
      .flatMap((line) => {
        const [, name, version] = /^Inst (\S+) \((\S+)/.exec(line) ?? []
        return name === undefined || version === undefined ? [] : [{ name, version }]
      })
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The files of these packages, downloaded once. */
  async download(packages: readonly Package[]): Promise<string[]> {
    const debs = join(this.#folder, 'debs')
    const missing = packages.filter((wanted) => !existsSync(fileOf(debs, wanted)))
    if (missing.length > 0) {
      const arrivals = join(debs, `new-${process.pid}`)
      await mkdir(arrivals)
      await output(
        'apt-get',
        [...this.#options, 'download', ...missing.map((each) => `${each.name}=${each.version}`)],
        {
          cwd: arrivals,
        },
      )
      for (const file of await readdir(arrivals)) {
        const [name, version] = file.split('_').map(decodeURIComponent)
        if (name !== undefined && version !== undefined)
          await rename(join(arrivals, file), fileOf(debs, { name, version }))
      }
      await rm(arrivals, { recursive: true })
    }
    return packages.map((each) => fileOf(debs, each))
  }
}

function fileOf(folder: string, { name, version }: Package): string {
  return join(folder, `${name}_${version}.deb`)
}

async function sourcesOf(suite: Suite): Promise<string> {
  const [release = '', updates] = suite.split('-')
  const places = [`${await mirror('debian')} ${release}`]
  if (updates !== undefined) places.push(`${await mirror('debian-security')} ${suite}`)
  return places.map((place) => `deb [signed-by=${keyring}] ${place} main\n`).join('')
}

/** Where this machine gets an archive of Debian from. */
async function mirror(archive: string): Promise<string> {
  const targets = await output('apt-get', ['indextargets', '--format', '$(SITE)', 'Created-By: Packages'])
  const isSite = new RegExp(`/${archive}/?$`)
  return targets.split('\n').find((site) => isSite.test(site)) ?? `http://deb.debian.org/${archive}`
}
