import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { commandTable } from '../../src/cli/commands.ts'
import { exitCodes } from '../../src/cli/globals.ts'
import { type Page, blocksOf, projectRoot, proseOf, readPages } from './markdown.ts'

/** What the pages say of things that the code has, too. */
const pages = readPages()
const everything = pages.map(({ text }) => text).join('\n')

function page(path: string): Page {
  const found = pages.find((each) => each.path === path)
  assert.ok(found !== undefined, `there is no ${path}`)
  return found
}

describe('links lead somewhere', () => {
  for (const each of pages)
    test(each.path, () => {
      for (const [, target = ''] of proseOf(each).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue
        const [path = '', anchor] = target.split('#')
        const file = path === '' ? each.path : join(dirname(each.path), path)
        assert.ok(existsSync(join(projectRoot, file)), `${target}: there is no ${file}`)
        if (anchor !== undefined) assert.ok(anchorsOf(page(file)).has(anchor), `${file} has no heading #${anchor}`)
      }
    })
})

/** As GitHub makes them of headings. */
function anchorsOf(each: Page): Set<string> {
  const headings = [...proseOf(each).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title)
  return new Set(
    headings.map((title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

test('files of the project that pages name are there', () => {
  for (const each of pages.filter(({ path }) => path !== 'CHANGELOG.md'))
    for (const [, path = ''] of proseOf(each).matchAll(/`((?:src|docs|test|bench|bin)\/[\w./-]*)`/g)) {
      if (/\b[A-Z]{4,}\b/.test(path)) continue
      assert.ok(existsSync(join(projectRoot, path)), `${each.path} names ${path}`)
    }
})

test('scripts of the package that pages name are there', () => {
  const { scripts } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { scripts: object }
  for (const [, name = ''] of everything.matchAll(/npm run ([a-z:]+)/g))
    assert.ok(Object.hasOwn(scripts, name), `npm run ${name}`)
})

test('every command is told of, and no other', () => {
  const told = new Set(
    Array.from(everything.matchAll(/\bonefold (?:--store \S+ |--json )*([a-z]+)\b/g), ([, name]) => name),
  )
  for (const name of Object.keys(commandTable)) assert.ok(told.has(name), `no page tells of "onefold ${name}"`)
  const shell = pages.flatMap(blocksOf).filter(({ language }) => language === 'sh')
  const called = shell.flatMap(({ text }) => [...text.matchAll(/^onefold ([a-z]+)/gm)].map(([, name = '']) => name))
  for (const name of called) assert.ok(Object.hasOwn(commandTable, name), `there is no "onefold ${name}"`)
})

test('exit codes are those of the command', () => {
  const { text } = page('docs/recipes/ci.md')
  for (const code of Object.values(exitCodes)) assert.match(text, new RegExp(`^\\| ${code} \\|`, 'm'))
})

test('docs/library.md tells of every error code with its meaning', () => {
  const { text } = page('docs/library.md')
  const source = readFileSync(join(projectRoot, 'src/error.ts'), 'utf8')
  const codes = Array.from(source.matchAll(/^ {2}\| '([A-Z_]+)'/gm), ([, code = '']) => code)
  const told = Array.from(text.matchAll(/^\| `([A-Z_]+)` +\|/gm), ([, code = '']) => code)
  assert.deepEqual(told, codes)
})

test('every dependency has its reason in docs/decisions.md', () => {
  const { text } = page('docs/decisions.md')
  const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as Record<string, object>
  for (const kind of ['dependencies', 'optionalDependencies', 'devDependencies'])
    for (const name of Object.keys(manifest[kind] ?? {}))
      assert.ok(text.includes(`\`${name}\``), `nothing is said of ${name}`)
})

test('the lockfile does not say which Node its packages want, or npm on an older one leaves some out', () => {
  const lockfile = JSON.parse(readFileSync(join(projectRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, object>
  }
  const saying = Object.entries(lockfile.packages).filter(([, each]) => 'engines' in each)
  assert.deepEqual(Object.keys(Object.fromEntries(saying)), [], 'run "npm run lock"')
})

test('architecture.md shows folders and files that there are', () => {
  const { text } = page('docs/architecture.md')
  for (const [, path = ''] of text.matchAll(/\s(src\/[a-z/]+(?:\.ts)?)/g))
    assert.ok(existsSync(join(projectRoot, path)), path)
})

test('docs/recipes/README.md lists every recipe', () => {
  const { text } = page('docs/recipes/README.md')
  const recipes = pages.map(({ path }) => path).filter((path) => path.startsWith('docs/recipes/'))
  for (const path of recipes.filter((each) => !each.endsWith('README.md')))
    assert.ok(text.includes(`(${path.slice('docs/recipes/'.length)})`), `${path} is not listed`)
})
