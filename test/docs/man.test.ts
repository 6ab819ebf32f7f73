import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { commandTable } from '../../src/cli/commands.ts'
import { globalOptions } from '../../src/cli/globals.ts'
import { commandPage } from '../../src/cli/man.ts'
import { needsPrograms } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

const writer = fileURLToPath(new URL('../../src/cli/man-pages.ts', import.meta.url))

/** The page as a terminal shows it, without bold and underlines; warnings of roff are errors. */
function shown(source: string): string {
  const { status, stdout, stderr } = spawnSync('groff', ['-ww', '-man', '-Tutf8', '-P-cbou', '-rLL=200n'], {
    input: source,
    encoding: 'utf8',
  })
  assert.equal(stderr, '')
  assert.equal(status, 0)
  return stdout.replace(/\s+/g, ' ')
}

describe('manual pages', { skip: needsPrograms('groff') }, () => {
  const folder = scratch('man')
  before(() => void execFileSync(process.execPath, [writer, folder.at('man')]))
  after(() => folder[Symbol.dispose]())

  test('there is one for the program and for each command, and no other', () => {
    const names = ['onefold.1', ...Object.keys(commandTable).map((name) => `onefold-${name}.1`)]
    assert.deepEqual(readdirSync(folder.at('man')).toSorted(), names.toSorted())
  })

  test('that of the program tells of every command', () => {
    const text = shown(readFileSync(folder.at('man/onefold.1'), 'utf8'))
    for (const [name, { summary }] of Object.entries(commandTable))
      assert.ok(text.includes(`onefold-${name}(1) ${summary}`), name)
  })

  for (const [name, { summary, load }] of Object.entries(commandTable))
    test(`onefold-${name}.1 says what --help says`, async () => {
      const { operands, about, options, glossary, examples } = await load()
      const text = shown(readFileSync(folder.at(`man/onefold-${name}.1`), 'utf8'))
      const said = [
        `onefold-${name} - ${summary}`,
        `onefold ${name} [options] ${operands}`.trim(),
        about,
        ...(glossary?.terms ?? []).flatMap(({ term, meaning }) => [term, meaning]),
        ...Object.entries({ ...options, ...globalOptions }).flatMap(([option, { help }]) => [`--${option}`, help]),
        ...examples.flatMap(({ command, meaning }) => [command, meaning]),
      ]
      for (const each of said) assert.ok(text.includes(each.replace(/\s+/g, ' ')), each)
    })

  test('nothing in a text is an order to roff', () => {
    const about = '.SH not a heading\n\'quoted\n\\fBnot bold\\n(.g `a` "b" ~ ^ … --dash'
    const text = shown(
      commandPage('1', 'x', '\\n(.g', { operands: '', about, options: {}, examples: [], run: async () => undefined }),
    )
    assert.ok(text.includes(about.replaceAll('\n', ' ')), text)
  })
})
