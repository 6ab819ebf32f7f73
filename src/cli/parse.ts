import { parseArgs } from 'node:util'
import { OnefoldError } from '../error.ts'
import type { Command, Options, OptionSpecs } from './command.ts'
import { globalOptions } from './globals.ts'

export interface Invocation {
  readonly command: string | undefined
  /** All words but the command's name. */
  readonly rest: readonly string[]
}

/** Finds the command: the first word that is neither a global option nor the value of one. */
export function findCommand(args: readonly string[]): Invocation {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? ''
    if (!word.startsWith('-') || word === '-') return { command: word, rest: args.toSpliced(at, 1) }
    if (takesValue(word, globalOptions)) at++
  }
  return { command: undefined, rest: args }
}

export interface Parsed {
  readonly operands: readonly string[]
  readonly options: Options
}

/** Parses a command's own and the global options. @throws USAGE naming the word that is wrong */
export function parseCommand(name: string, command: Command, args: readonly string[]): Parsed {
  const specs: OptionSpecs = { ...command.options, ...globalOptions }
  const split = command.restAfter === undefined ? args.length : endOfOperand(args, specs, command.restAfter)
  const { values, positionals } = parse(name, specs, args.slice(0, split))
  const rest = args.slice(split)
  return { operands: [...positionals, ...(rest[0] === '--' ? rest.slice(1) : rest)], options: optionsOf(values) }
}

/** Parses the words where there is no command: `onefold --help`, `onefold --version`. */
export function parseGlobals(args: readonly string[], more: OptionSpecs): Parsed {
  const { values, positionals } = parse('', { ...globalOptions, ...more }, args)
  return { operands: positionals, options: optionsOf(values) }
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

function parse(name: string, specs: OptionSpecs, args: readonly string[]): { values: Values; positionals: string[] } {
  const options = Object.fromEntries(
    Object.entries(specs).map(([option, { value, short, multiple }]) => [
      option,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: multiple ?? false,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  )
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (cause) {
    const found = cause instanceof Error ? (cause.message.split(/\.\s/)[0] ?? '') : String(cause)
    throw new OnefoldError('USAGE', `Cannot read the command line: ${found}`, {
      cause,
      hint: `See: onefold ${name === '' ? '' : `${name} `}--help`,
    })
  }
}

function optionsOf(values: Values): Options {
  return {
    flag: (name) => values[name] === true,
    text: (name) => {
      const value = values[name]
      return typeof value === 'string' ? value : undefined
    },
    texts: (name) => {
      const value = values[name]
      return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
    },
  }
}

/** Returns the index just behind the `count`th operand. */
function endOfOperand(args: readonly string[], specs: OptionSpecs, count: number): number {
  let seen = 0
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? ''
    if (word === '--') return at
    if (word.startsWith('-') && word !== '-') {
      if (takesValue(word, specs)) at++
    } else if (++seen === count) return at + 1
  }
  return args.length
}

/**
 * Tells whether the next word is this option's value: `--store DIR` and `-v DIR`, but not `--store=DIR` and `-vDIR`.
 */
export function takesValue(word: string, specs: OptionSpecs): boolean {
  if (word.startsWith('--')) return !word.includes('=') && specs[word.slice(2)]?.value !== undefined
  const letters = Array.from(word.slice(1))
  const taking = letters.findIndex((letter) =>
    Object.values(specs).some((spec) => spec.short === letter && spec.value !== undefined),
  )
  return taking !== -1 && taking === letters.length - 1
}
