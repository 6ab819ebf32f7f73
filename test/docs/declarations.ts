import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadAttachable, loadWritable } from '../../src/formats/all.ts'
import type { OptionSpecs } from '../../src/formats/format-options.ts'
import { projectRoot } from './markdown.ts'

/**
 * What TypeScript sources declare, read as text: the formatter puts each member of an exported interface or class on a
 * line of its own, two blanks in, and its last line is a brace alone.
 */

/** A member of an interface, as it is declared but for `readonly`, and for `| undefined` where it is optional. */
export interface Member {
  readonly name: string
  readonly optional: boolean
  readonly type: string
}

/** Types that are made of what formats declare: an option of any of them is a member. */
export const derivedMembers: ReadonlyMap<string, readonly Member[]> = new Map([
  ['WriterOptions', membersOf((await loadWritable()).map(({ writer }) => writer.options))],
  ['AttacherOptions', membersOf((await loadAttachable()).map(({ attacher }) => attacher.options))],
])

function membersOf(specs: readonly OptionSpecs[]): Member[] {
  const types = { flag: 'boolean', size: 'number', number: 'number', paths: 'string[]' } as const
  const all: OptionSpecs = Object.assign({}, ...specs)
  return Object.entries(all).map(([name, { kind }]) => ({ name, optional: true, type: types[kind] }))
}

export interface Shape {
  readonly members: readonly Member[]
  /** Names of what it extends. */
  readonly parents: readonly string[]
}

const sources = globSync('src/**/*.ts', { cwd: projectRoot, exclude: ['**/*.test.ts'] }).map((path) => ({
  path,
  text: readFileSync(join(projectRoot, path), 'utf8'),
}))

/** Every name that `src/index.ts` exports, types included, with the file it comes from. */
export function exportedNames(): Map<string, string> {
  const index = textOf('src/index.ts')
  const names = new Map<string, string>()
  for (const [, list = '', file = ''] of index.matchAll(/^export (?:type )?\{([^}]*)\} from '\.\/([^']*)'/gm))
    for (const each of list.split(',').map((text) => text.trim().replace(/^type /, '')))
      if (each !== '') names.set(each, `src/${file}`)
  return names
}

/** The names of a function's parameters, with a question mark where one may be left out ('X' has no name); undefined: no function. */
export function parametersOf(name: string): string[] | undefined {
  const [, list] =
    declared(name, new RegExp(String.raw`^export (?:async )?function\*? ${name}\(([^]*?)\)(?:: | \{)`, 'm')) ?? []
  if (list === undefined) return undefined
  const parameters = list.replaceAll(/\{[^{}]*\}(?: = \{\})?/g, (text) => (text.endsWith(' = {}') ? 'X = X' : 'X'))
  return parameters
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
    .map((each) => (/^\w+\?:| = /.test(each) ? `${/^\w+/.exec(each)?.[0]}?` : (/^\w+/.exec(each)?.[0] ?? '')))
}

/** Undefined where the name is no interface. */
export function shapeOf(name: string): Shape | undefined {
  const [, heads = '', body = ''] =
    declared(
      name,
      new RegExp(String.raw`^export interface ${name}(?:<[^>]*>)?(?: extends ([^{]+))? \{\n([^]*?)^\}`, 'm'),
    ) ?? []
  if (body === '') return undefined
  const parents = Array.from(heads.matchAll(/\b[A-Z]\w+/g), ([parent]) => parent).filter((parent) => parent !== 'Omit')
  return { members: membersIn(body), parents: parents.filter((parent) => parent !== 'Disposable') }
}

function membersIn(body: string): Member[] {
  const code = body.replaceAll(/^ *\/\*\*[^]*?\*\/\n/gm, '')
  const members = code.matchAll(/^ {2}(?:readonly )?(\w+)(\??)(: |\()([^\n]+)$/gm)
  return Array.from(members, ([, name = '', mark = '', kind = '', rest = '']) => ({
    name,
    optional: mark === '?',
    type: plainType(kind === '(' ? `(${rest}` : rest, mark === '?'),
  }))
}

/** Without what says nothing to a reader. */
function plainType(type: string, optional: boolean): string {
  const plain = type.replaceAll(/\breadonly /g, '')
  const bare = optional ? plain.replace(/ \| undefined$/, '') : plain
  return /^\(\(.*\) => [^()]*\)$/.test(bare) ? bare.slice(1, -1) : bare
}

/** What users of a class may call or read, but for `Symbol` members; undefined where the name is no class. */
export function methodsOf(name: string): string[] | undefined {
  const [, body] = declared(name, new RegExp(String.raw`^export class ${name}\b[^{]*\{\n([^]*?)^\}`, 'm')) ?? []
  const names = body?.matchAll(/^ {2}(?:readonly |async |get |override )*\*?([a-z]\w*)(?:\(|:| =)/gm)
  return names && Array.from(names, ([, each = '']) => each).filter((each) => each !== 'constructor')
}

/** Where a name is declared twice, the one that the library exports is meant. */
function declared(name: string, pattern: RegExp): RegExpExecArray | undefined {
  const home = pattern.exec(textOf(exportedNames().get(name) ?? ''))
  return (
    home ??
    sources
      .values()
      .map(({ text }) => pattern.exec(text))
      .find((found) => found !== null) ??
    undefined
  )
}

function textOf(path: string): string {
  return sources.find((each) => each.path === path)?.text ?? ''
}
