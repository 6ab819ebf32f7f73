import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { parentsOf, programFiles, textFile } from '../../src/demo/programs.ts'
import { hostPlatform } from '../../src/formats/oci/platform.ts'
import { LayoutBuilder } from '../fixtures/images.ts'
import { type Block, type Page, blocksOf, projectRoot, readPages } from './markdown.ts'
import { needsPrograms, needsRoot, needsVerity } from '../fixtures/needs.ts'
import { makeKeyPair, needsRegistry, startRegistry } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'
import { tocImage } from '../fixtures/toc-images.ts'

/**
 * Runs what users copy: every `sh` block of docs/recipes/ (all of a page in one shell, in order), every `ts` block of
 * docs/library.md and the README (each is a program), and the `sh` blocks of the README that say `run`. A word behind the language says
 * what a block needs.
 */
const needs: Readonly<Record<string, false | string>> = {
  root: needsRoot,
  verity: needsVerity(),
  run: needsRoot || (needsPrograms('crun') && needsPrograms('runc')),
  registry: needsRegistry || needsPrograms('openssl', 'htpasswd'),
}
const needsTools = needsPrograms('jq')
const nobody = 65534

const place = scratch('docs')
const running = new AsyncDisposableStack()
/** Hosts in the pages, and where they are found here. */
const hosts: Record<string, string> = {}
const pages = readPages()

before(async () => {
  chmodSync(place.path, 0o755)
  const layout = makeLayout(place.at('layout'))
  mkdirSync(place.at('bin'))
  symlinkSync(join(projectRoot, 'bin/onefold'), place.at('bin/onefold'))
  if (needs['registry'] !== false) return
  const tls = makeKeyPair(place.at('tls'), 'registry')
  const users = { reader: 'secret' }
  for (const [name, options, repository] of [
    ['registry.example', {}, 'app'],
    ['private.example', { auth: 'basic', users }, 'team/app'],
    ['secure.example', { tls }, 'app'],
  ] as const) {
    const registry = running.use(await startRegistry(place.at(name), options))
    for (const tag of ['1.1', '1.2']) await registry.push(`oci:${layout}:${tag}`, `${repository}:${tag}`)
    hosts[name] = registry.host
    if (name !== 'registry.example') continue
    const more = await makeMoreImages(place.at('more'))
    for (const image of ['multi:1', 'big:1', 'big:2']) await registry.push(`oci:${more}:${image}`, image)
  }
  hosts['mirror.example'] = running.use(await startRegistry(place.at('mirror'))).host
})

after(async () => {
  await running[Symbol.asyncDispose]()
  place[Symbol.dispose]()
})

describe('recipes', { skip: needsTools }, () => {
  for (const page of pages.filter(({ path }) => path.startsWith('docs/recipes/') || path === 'README.md')) {
    const wanted = (block: Block): boolean => page.path !== 'README.md' || block.words.includes('run')
    const blocks = blocksOf(page).filter((block) => block.language === 'sh' && wanted(block))
    const able = ableBlocks(page, blocks)
    if (able.length > 0) test(page.path, () => runShell(page, able))
  }
})

describe('programs', () => {
  for (const path of ['docs/library.md', 'README.md']) {
    const page = pages.find((each) => each.path === path)
    assert.ok(page !== undefined)
    const programs = blocksOf(page).filter(({ language }) => language === 'ts')

    test(`${path}: they have the right types`, () => {
      const folder = makePageFolder(`types-${path.replaceAll(/\W/g, '-')}`)
      for (const block of programs) writeProgram(folder, block)
      writeFileSync(join(folder, 'tsconfig.json'), typesConfig)
      const { status, stdout } = spawnSync('tsc', ['-p', folder], { encoding: 'utf8', env: environment(folder) })
      assert.equal(status, 0, stdout)
    })

    const able = ableBlocks(page, programs)
    test(`${path}: they run`, async () => {
      const folder = makePageFolder(path.replaceAll(/\W/g, '-'))
      for (const block of able)
        await runIn(folder, [process.execPath, writeProgram(folder, block)], `${path}:${block.line}`)
    })
  }
})

const typesConfig = JSON.stringify({
  extends: join(projectRoot, 'tsconfig.json'),
  compilerOptions: {
    typeRoots: [join(projectRoot, 'node_modules/@types')],
    rewriteRelativeImportExtensions: false,
    noUnusedLocals: false,
  },
  include: ['*.mts'],
})

/** Those that can run here; each of the others is a skipped test, so that the report says why. */
function ableBlocks({ path }: Page, blocks: readonly Block[]): Block[] {
  return blocks.filter(({ words, line }) => {
    const missing = words.map((word) => needs[word]).find((reason) => typeof reason === 'string')
    if (missing !== undefined) test(`${path}:${line}`, { skip: missing }, () => {})
    return missing === undefined
  })
}

/** One shell for the page, as its reader has, which ends at the first command that fails. */
async function runShell(page: Page, blocks: readonly Block[]): Promise<void> {
  const folder = makePageFolder(page.path.replaceAll(/\W/g, '-'))
  const parts = blocks.map(({ text, line }) => `echo '${page.path}:${line}' >&2\n${localized(text, folder)}`)
  // Bash, as it notices a failure in front of a pipe.
  writeFileSync(join(folder, 'script'), `set -euo pipefail\n${parts.join('\n')}`)
  await runIn(folder, ['bash', './script'], page.path)
}

/** Mounts end with the command, whatever becomes of it. We are not blocked meanwhile: registries wait for who reads their logs. */
async function runIn(folder: string, command: readonly string[], what: string): Promise<void> {
  const ordinary = folder.includes('without-root') && needsRoot === false && canEnter()
  const around = ordinary
    ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups']
    : needsRoot === false
      ? ['unshare', '--mount']
      : []
  if (ordinary) execFileSync('chown', ['-R', `${nobody}:${nobody}`, folder])
  const [program = '', ...args] = [...around, ...command]
  const env = environment(folder, ordinary || needsRoot !== false)
  const options = { cwd: folder, env, maxBuffer: 64 * 1024 * 1024 }
  try {
    await promisify(execFile)('timeout', ['--kill-after=5', '120', program, ...args], options)
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string }
    assert.fail(`${what} ended with ${String(code)}\n${stdout.slice(-2000)}\n${stderr.slice(-3000)}`)
  }
}

/** Whether an ordinary user may come to where the project lies. */
function canEnter(): boolean {
  const as = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups']
  return spawnSync('setpriv', [...as, 'test', '-x', join(projectRoot, 'bin/onefold')]).status === 0
}

/** Who is no root uses the default store, in a home directory of the page's own. */
function environment(folder: string, ordinary = false): NodeJS.ProcessEnv {
  const { PATH = '', LANG = 'C.UTF-8' } = process.env
  const path = [place.at('bin'), join(projectRoot, 'node_modules/.bin'), PATH, '/usr/sbin', '/sbin'].join(':')
  const store = ordinary ? {} : { ONEFOLD_STORE: join(folder, 'store') }
  return { PATH: path, LANG, HOME: join(folder, 'home'), TMPDIR: join(folder, 'tmp'), ...store }
}

function makePageFolder(name: string): string {
  const folder = place.at(name)
  for (const each of ['home', 'tmp', 'mnt']) mkdirSync(join(folder, each), { recursive: true })
  cpSync(place.at('layout'), join(folder, 'layout'), { recursive: true })
  if (needs['registry'] === false) copyFileSync(place.at('tls/registry.crt'), join(folder, 'ca.crt'))
  return folder
}

function writeProgram(folder: string, { text, line }: Block): string {
  const path = join(folder, `line-${line}.mts`)
  const source = localized(text, folder).replaceAll("from 'onefold'", `from '${join(projectRoot, 'src/index.ts')}'`)
  writeFileSync(path, source)
  return path
}

function localized(text: string, folder: string): string {
  const named = Object.entries(hosts).reduce((result, [name, host]) => result.replaceAll(name, host), text)
  return named.replaceAll('/mnt/', `${folder}/mnt/`).replaceAll('/var/lib/onefold', `${folder}/store`)
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

/** An image for two platforms, and two versions of one whose layers bring tables of contents. */
async function makeMoreImages(folder: string): Promise<string> {
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
  return folder
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
