import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { loadFormats } from '../../src/formats/all.ts'
import type { Format } from '../../src/formats/format.ts'
import { blocksOf, projectRoot, readPages } from './markdown.ts'

/** What pages say of formats is what the formats declare, and nothing else in the sources knows them. */
const pages = readPages()
const formats = await loadFormats()

function textOf(path: string): string {
  const page = pages.find((each) => each.path === path)
  assert.ok(page !== undefined, `there is no ${path}`)
  return page.text
}

function rowOf({ title, name, index, writer, attacher, about }: Format): string {
  const parts = index === undefined ? '' : index.identifies ? 'yes' : 'with `--toc-only`'
  const written = [...(writer === undefined ? [] : ['`convert`']), ...(attacher === undefined ? [] : ['`index`'])]
  return `| ${[title, `\`${name}\``, parts, written.join(', '), about].join(' | ')} |`.replaceAll('|  |', '| |')
}

test("the README's table of formats is the list of formats", () => {
  const [, table = ''] = /^\| format \| name \|.*\n\|[-|]+\|\n((?:\|.*\n)+)/m.exec(textOf('README.md')) ?? []
  assert.deepEqual(table.trimEnd().split('\n'), formats.map(rowOf))
})

test('the library is said to write the formats that are written', () => {
  const [, section = ''] = /### `ConvertFormat`\n\n([^#]*)/.exec(textOf('docs/api/publish.md')) ?? []
  const told = Array.from(section.matchAll(/`'([^']+)'`/g), ([, name]) => name)
  assert.deepEqual(
    told,
    formats.filter(({ writer }) => writer !== undefined).map(({ name }) => name),
  )
})

test('the recipe of conversions tells of every format that is written', () => {
  const recipe = textOf('docs/recipes/convert.md')
  for (const { name, writer } of formats)
    if (writer !== undefined) assert.match(recipe, new RegExp(`^\\|.*\`${name.replace('+', '\\+')}\`.*\\|$`, 'm'), name)
})

test('no file outside of src/formats names a format', () => {
  // `tar` is a transport, too.
  const quoted = formats.filter(({ name }) => name !== 'tar').map(({ name }) => `'${name}'`)
  const files = globSync('src/**/*.ts', { cwd: projectRoot, exclude: ['src/formats/**', '**/*.test.ts'] })
  const naming = files.filter((file) => {
    const text = readFileSync(join(projectRoot, file), 'utf8')
    return quoted.some((name) => text.includes(name))
  })
  assert.deepEqual(naming, [])
})

describe('formats in commands', () => {
  const lines = pages
    .flatMap(blocksOf)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => [...text.matchAll(/\bonefold convert .*--to (\S+)/g)])
  for (const name of new Set(lines.map(([, format = '']) => format)))
    if (!name.startsWith('$')) test(name, () => assert.ok(formats.some((format) => format.name === name)))
})
