import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parentsOf, programFiles, textFile } from '../../src/demo/programs.ts'
import { hostPlatform } from '../../src/formats/oci/platform.ts'
import { LayoutBuilder } from '../fixtures/images.ts'
import { needsPrograms, needsRoot, needsVerity } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { tocImage } from '../fixtures/toc-images.ts'
import { type RegistryOptions, makeKeyPair, needsRegistry, startRegistry } from '../servers/registry.ts'
import { type Block, type Page, blocksOf, projectRoot } from './markdown.ts'

/** What a block needs, by the word behind its language. */
const needs: Readonly<Record<string, false | string>> = {
  root: needsRoot,
  verity: needsVerity(),
  run: needsRoot || (needsPrograms('crun') && needsPrograms('runc')),
  registry: needsRegistry || needsPrograms('openssl', 'htpasswd'),
}
const nobody = 65534
/** The longest that a script or a program can hang. */
const hangSeconds = 120

/** The `sh` blocks of a recipe; of the README, those that say `run`. */
export function recipeBlocks(page: Page): Block[] {
  const shell = blocksOf(page).filter(({ language }) => language === 'sh')
  return page.path === 'README.md' ? shell.filter(({ words }) => words.includes('run')) : shell
}

/** Blocks that can run here; each of the others becomes a skipped test, so that the report says why. */
export function ableBlocks({ path }: Page, blocks: readonly Block[]): Block[] {
  return blocks.filter(({ words, line }) => {
    const missing = words.map((word) => needs[word]).find((reason) => typeof reason === 'string')
    if (missing !== undefined) test(`${path}:${line}`, { skip: missing }, () => {})
    return missing === undefined
  })
}

/** Registers a test for each page, which runs its recipe. */
export function testRecipes(pages: readonly Page[], runner: () => PageRunner): void {
  for (const page of pages) {
    const able = ableBlocks(page, recipeBlocks(page))
    if (able.length > 0) test(page.path, () => runner().runShell(page, able))
  }
}

/**
 * Runs what users copy from pages, each page in a folder of its own. An OCI layout and the registries that the pages
 * name stand ready.
 */
export class PageRunner implements AsyncDisposable {
  readonly #place = scratch('docs')
  readonly #running = new AsyncDisposableStack()
  /** Names of hosts in the pages, and where these are found here. */
  readonly #hosts: Record<string, string> = {}

  /** Makes what `pages` need: each registry takes a second to start and to fill. */
  static async start(pages: readonly Page[]): Promise<PageRunner> {
    const runner = new PageRunner()
    try {
      await runner.#prepare(
        pages
          .flatMap(blocksOf)
          .map(({ text }) => text)
          .join('\n'),
      )
      return runner
    } catch (error) {
      await runner[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running[Symbol.asyncDispose]()
    this.#place[Symbol.dispose]()
  }

  /** One shell for the page, as its reader has, which ends at the first command that fails. */
  async runShell(page: Page, blocks: readonly Block[]): Promise<void> {
    const folder = this.makeFolder(page.path)
    const parts = blocks.map(({ text, line }) => `echo '${page.path}:${line}' >&2\n${this.#localized(text, folder)}`)
    // Bash, as it notices a failure in front of a pipe.
    writeFileSync(join(folder, 'script'), `set -euo pipefail\n${parts.join('\n')}`)
    await this.#runIn(folder, ['bash', './script'], page.path)
  }

  /** Runs a program; all of them share the library as it was compiled for the first. */
  async runProgram(folder: string, page: Page, block: Block): Promise<void> {
    const program = this.writeProgram(folder, page, block)
    const cache = `NODE_COMPILE_CACHE=${this.#place.at('compiled')}`
    await this.#runIn(folder, ['env', cache, process.execPath, program], `${page.path}:${block.line}`)
  }

  writeProgram(folder: string, page: Page, { text, line }: Block): string {
    const path = join(folder, `${fileName(page.path)}-${line}.mts`)
    const library = `from '${join(projectRoot, 'src/index.ts')}'`
    writeFileSync(path, this.#localized(text, folder).replaceAll("from 'onefold'", library))
    return path
  }

  /** A folder with what pages take for granted. */
  makeFolder(name: string): string {
    const folder = this.#place.at(fileName(name))
    for (const each of ['home', 'tmp', 'mnt']) mkdirSync(join(folder, each), { recursive: true })
    cpSync(this.#place.at('layout'), join(folder, 'layout'), { recursive: true })
    if ('secure.example' in this.#hosts) copyFileSync(this.#place.at('tls/registry.crt'), join(folder, 'ca.crt'))
    return folder
  }

  /** Who is no root uses the default store, in a home directory of the page's own. */
  environment(folder: string, ordinary = false): NodeJS.ProcessEnv {
    const { PATH = '', LANG = 'C.UTF-8' } = process.env
    const path = [this.#place.at('bin'), join(projectRoot, 'node_modules/.bin'), PATH, '/usr/sbin', '/sbin'].join(':')
    const store = ordinary ? {} : { ONEFOLD_STORE: join(folder, 'store') }
    return { PATH: path, LANG, HOME: join(folder, 'home'), TMPDIR: join(folder, 'tmp'), ...store }
  }

  async #prepare(text: string): Promise<void> {
    const place = this.#place
    chmodSync(place.path, 0o755)
    const layout = makeLayout(place.at('layout'))
    mkdirSync(place.at('bin'))
    symlinkSync(join(projectRoot, 'bin/onefold'), place.at('bin/onefold'))
    if (needs['registry'] !== false) return
    const start = async (name: string, more: () => RegistryOptions, images: Readonly<Record<string, string>>) => {
      if (!text.includes(name)) return
      const registry = this.#running.use(await startRegistry(place.at(name), more()))
      this.#hosts[name] = registry.host
      for (const [target, source] of Object.entries(images)) await registry.push(`oci:${source}`, target)
    }
    const app = (name: string) => ({ [`${name}:1.1`]: `${layout}:1.1`, [`${name}:1.2`]: `${layout}:1.2` })
    await start('registry.example', () => ({}), { ...app('app'), ...(await makeMoreImages(place.at('more'))) })
    await start('private.example', () => ({ auth: 'basic', users: { reader: 'secret' } }), app('team/app'))
    await start('secure.example', () => ({ tls: makeKeyPair(place.at('tls'), 'registry') }), app('app'))
    await start('mirror.example', () => ({}), {})
  }

  /** Mounts end with the command, whatever becomes of it. We are not blocked meanwhile: registries wait for who reads their logs. */
  async #runIn(folder: string, command: readonly string[], what: string): Promise<void> {
    const ordinary = folder.includes('without-root') && needsRoot === false && canEnter()
    const around = ordinary
      ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups']
      : needsRoot === false
        ? ['unshare', '--mount']
        : []
    if (ordinary) execFileSync('chown', ['-R', `${nobody}:${nobody}`, folder])
    const [program = '', ...args] = [...around, ...command]
    const env = this.environment(folder, ordinary || needsRoot !== false)
    const options = { cwd: folder, env, maxBuffer: 64 * 1024 * 1024 }
    try {
      await promisify(execFile)('timeout', ['--kill-after=5', String(hangSeconds), program, ...args], options)
    } catch (error) {
      const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string }
      assert.fail(`${what} ended with ${String(code)}\n${stdout.slice(-2000)}\n${stderr.slice(-3000)}`)
    }
  }

  #localized(text: string, folder: string): string {
    const named = Object.entries(this.#hosts).reduce((result, [name, host]) => result.replaceAll(name, host), text)
    return named.replaceAll('/mnt/', `${folder}/mnt/`).replaceAll('/var/lib/onefold', `${folder}/store`)
  }
}

function fileName(page: string): string {
  return page.replaceAll(/\W/g, '-')
}

/** Whether an ordinary user may come to where the project lies. */
function canEnter(): boolean {
  const as = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups']
  return spawnSync('setpriv', [...as, 'test', '-x', join(projectRoot, 'bin/onefold')]).status === 0
}

/** A shell and a few programs of this machine. */
function baseFiles(): ReturnType<typeof programFiles> {
  const paths = ['/bin/sh', '/bin/cat', '/bin/ls']
  const programs = programFiles(
    paths.map((path) => ({ from: path, path })),
    1,
  )
  const files = [...programs, textFile('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n', 1)]
  return [...parentsOf(files, 1), ...files]
}

/**
 * An image for two platforms, and two versions of one whose layers bring tables of contents: their names, and where they
 * are in the layout that is made in `folder`.
 */
async function makeMoreImages(folder: string): Promise<Record<string, string>> {
  const layout = new LayoutBuilder(folder)
  const platform = hostPlatform()
  const other = { os: 'linux', architecture: 'riscv64' }
  const base = baseFiles()
  const both = [platform, other].map((each) => layout.image({ layers: [base], platform: each }).manifest)
  layout.tag(layout.index(...both), 'multi:1')
  for (const version of ['1', '2']) {
    const layers = [[...base, textFile('etc/os-release', `VERSION=${version}\n`, 2)]]
    layout.tag((await tocImage(layout, 'zstd-chunked', layers, { platform })).manifest, `big:${version}`)
  }
  return Object.fromEntries(['multi:1', 'big:1', 'big:2'].map((name) => [name, `${folder}:${name}`]))
}

/** Two versions of an image. */
function makeLayout(folder: string): string {
  const layout = new LayoutBuilder(folder)
  const base = baseFiles()
  for (const version of ['1.1', '1.2']) {
    const app = [textFile('etc/os-release', `NAME=app\nVERSION=${version}\n`, 2), textFile('etc/motd', 'hello\n', 2)]
    const run = { cmd: ['/bin/sh'], env: ['PATH=/bin'] }
    layout.tag(layout.image({ layers: [base, app], run, platform: hostPlatform() }).manifest, version)
  }
  return folder
}
