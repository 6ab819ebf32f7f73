/** Options of formats on the command line: names, help and kinds are those that the formats declare. */
import { readFileSync } from 'node:fs'
import { OnefoldError, errnoOf } from '../error.ts'
import {
  type OptionSpec as FormatOption,
  type OptionSpecs as FormatOptions,
  isGiven,
  optionName,
} from '../formats/format-options.ts'
import type { OptionSpec, OptionSpecs, Options } from './command.ts'
import { parseBytes } from './output.ts'

/** A format, and what can be chosen for it. */
export interface FormatChoices {
  readonly name: string
  readonly options: FormatOptions
}

/** The options of all formats; where not all of them have one, its help says which. */
export function formatOptionSpecs(formats: readonly FormatChoices[]): OptionSpecs {
  const specs = Object.assign({}, ...formats.map(({ options }) => options)) as FormatOptions
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => {
      const having = formats.filter(({ options }) => Object.hasOwn(options, name)).map((format) => format.name)
      return [optionName(name), { ...valueOf(spec), help: helpOf(spec, having.length < formats.length ? having : []) }]
    }),
  )
}

/** Reads the choices, by the names that the library uses; a value that the formats would refuse is refused here. */
export function chosenOptions(options: Options, specs: FormatOptions): Record<string, unknown> {
  const chosen = Object.entries(specs).map(([name, spec]) => [name, readOption(options, optionName(name), spec)])
  return Object.fromEntries(chosen.filter(([, value]) => isGiven(value)))
}

const values = { size: 'SIZE', number: 'N', paths: 'FILE' } as const

function valueOf({ kind }: FormatOption): Pick<OptionSpec, 'value'> {
  return kind === 'flag' ? {} : { value: values[kind] }
}

function helpOf(spec: FormatOption, only: readonly string[]): string {
  const prefix = only.length === 0 ? '' : `${only.join(', ')}: `
  return `${prefix}${spec.help}${defaultOf(spec)}`
}

function defaultOf(spec: FormatOption): string {
  if ((spec.kind !== 'size' && spec.kind !== 'number') || spec.default === undefined) return ''
  return ` (default ${spec.kind === 'size' ? sizeText(spec.default) : spec.default})`
}

/** Writes a size as `parseBytes` reads it: `4M`. */
function sizeText(bytes: number): string {
  if (bytes % 2 ** 20 === 0) return `${bytes / 2 ** 20}M`
  return bytes % 2 ** 10 === 0 ? `${bytes / 2 ** 10}K` : String(bytes)
}

function readOption(options: Options, name: string, { kind }: FormatOption): unknown {
  if (kind === 'flag') return options.flag(name)
  const text = options.text(name)
  if (text === undefined) return undefined
  switch (kind) {
    case 'size':
      return parseBytes(text)
    case 'number':
      return Number(text)
    case 'paths':
      return linesOf(text)
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split(/\r?\n/)
      .filter((line) => line !== '')
  } catch (error) {
    const errno = errnoOf(error)
    const code = errno === 'ENOENT' ? 'NOT_FOUND' : 'IO'
    throw new OnefoldError(code, `Cannot read the list of paths ${JSON.stringify(path)}: ${errno}`, { cause: error })
  }
}
