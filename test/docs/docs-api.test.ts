import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as library from '../../src/index.ts'
import { derivedMembers, exportedNames, methodsOf, parametersOf, shapeOf } from './declarations.ts'
import { blocksOf, proseOf, readPages } from './markdown.ts'

/**
 * docs/api/ has a section for each name that the library exports. Where it is a function, the heading has its parameters;
 * where it is an interface, a table has its members with their types, as they are declared.
 */
const sections = new Map<string, { readonly heading: string; readonly text: string }>()
const pages = readPages()
for (const page of pages.filter(({ path }) => path.startsWith('docs/api/')))
  for (const part of proseOf(page).split(/^### /m).slice(1)) {
    const [, heading = '', name = ''] = /^`((\w+)[^`]*)`\n/.exec(part) ?? []
    sections.set(name, { heading, text: part.replace(/^## [^]*/m, '') })
  }

const names = [...exportedNames().keys()]

test('every exported name has its section, and nothing else has', () => {
  assert.deepEqual([...sections.keys()].toSorted(), names.toSorted())
})

test('what is exported is read right', () => {
  const values = names.filter((name) => name in library)
  assert.deepEqual(values.toSorted(), Object.keys(library).toSorted())
  for (const name of values.filter((each) => each !== 'defaultLimits'))
    assert.ok(parametersOf(name) !== undefined || methodsOf(name) !== undefined, name)
})

describe('sections say what is declared', () => {
  for (const name of names) {
    const { heading, text } = sections.get(name) ?? { heading: '', text: '' }
    test(name, () => {
      const parameters = parametersOf(name)
      if (parameters !== undefined) checkParameters(name, heading, parameters)
      const shape = shapeOf(name)
      if (shape !== undefined) checkMembers(name, text)
      const methods = methodsOf(name)
      if (methods !== undefined) for (const each of methods) assert.match(text, new RegExp(String.raw`\b${each}\b`))
    })
  }
})

test('every function is in an example that runs', () => {
  const tour = pages.filter(({ path }) => path === 'docs/library.md').flatMap(blocksOf)
  const programs = tour.filter(({ language }) => language === 'ts').map(({ text }) => text)
  for (const name of names.filter((each) => parametersOf(each) !== undefined))
    assert.ok(
      programs.some((text) => new RegExp(String.raw`\b${name}\(`).test(text)),
      `no example calls ${name}()`,
    )
})

function checkParameters(name: string, heading: string, declared: readonly string[]): void {
  const told = /\((.*)\)$/.exec(heading)?.[1]?.split(', ') ?? []
  const wanted = declared.map((each, index) => (each === 'X' ? (told[index] ?? each) : each))
  assert.equal(heading, `${name}(${wanted.join(', ')})`)
}

/** Members of its own have to be there, those of its parents may, or else the parent is named. */
function checkMembers(name: string, text: string): void {
  const rows = Array.from(
    text.matchAll(/^\| `(\w+)(\??)` \| `((?:[^`])*)` \| (\S.*) \|$/gm),
    ([, member, mark, type = '']) => [member, mark, type.replaceAll('\\|', '|')].join(' '),
  )
  const own = membersOf(name)
  assert.deepEqual(
    own.filter((row) => !rows.includes(row)),
    [],
    'these are not told of',
  )
  const inherited = ancestorsOf(name).flatMap(membersOf)
  assert.deepEqual(
    rows.filter((row) => !own.includes(row) && !inherited.includes(row)),
    [],
    'these are not there',
  )
  for (const parent of shapeOf(name)?.parents ?? [])
    assert.ok(text.includes(`\`${parent}\``) || membersOf(parent).every((row) => rows.includes(row)), parent)
}

function membersOf(name: string): string[] {
  return (derivedMembers.get(name) ?? shapeOf(name)?.members ?? []).map(({ name: member, optional, type }) =>
    [member, optional ? '?' : '', type].join(' '),
  )
}

function ancestorsOf(name: string): string[] {
  return (shapeOf(name)?.parents ?? []).flatMap((parent) => [parent, ...ancestorsOf(parent)])
}
