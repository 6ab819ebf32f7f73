/** Options for writing a format: declared once, for the command line, for checks and for types. */
import { type MemberCoding, memberLevels } from '../codecs/coding.ts'

export type OptionSpec = SizeOption | NumberOption | FlagOption | PathsOption

interface Described {
  /** A line for `--help`, without the names of the formats and without the default. */
  readonly help: string
}

/** Option that takes a number of bytes: `64K`, `4M`. */
export interface SizeOption extends Described {
  readonly kind: 'size'
  /** Default 0. */
  readonly min?: number
  readonly max?: number
  readonly default?: number
}

/** Option that takes a whole number. */
export interface NumberOption extends Described {
  readonly kind: 'number'
  /** Default 0. */
  readonly min?: number
  readonly max?: number
  readonly default?: number
}

export interface FlagOption extends Described {
  readonly kind: 'flag'
}

/**
 * Option that takes paths in the image, as UTF-8 text; on the command line the name of a file with one path in a line.
 */
export interface PathsOption extends Described {
  readonly kind: 'paths'
}

/** Options by the names that the library uses: `chunkSize`, which the command line writes `--chunk-size`. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export type OptionValue<S extends OptionSpec = OptionSpec> = S extends FlagOption
  ? boolean
  : S extends PathsOption
    ? readonly string[]
    : number

export type OptionsOf<S extends OptionSpecs> = { readonly [K in keyof S]?: OptionValue<S[K]> | undefined }

/** The choice how hard to compress; a format has it that compresses. */
export function levelOption(coding: MemberCoding): NumberOption {
  const { min, max, usual } = memberLevels[coding]
  return { kind: 'number', min, max, default: usual, help: 'compress harder' }
}

/** How the command line writes an option: `chunkSize` as `chunk-size`. */
export function optionName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** Whether an option was given: a flag that is not set is none. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== false
}

/**
 * Takes the options of `specs` out of what was given.
 * @param wrong makes the error for a value that its option does not take
 */
export function pickOptions<S extends OptionSpecs>(
  specs: S,
  given: Readonly<Record<string, unknown>>,
  wrong: (found: string) => Error,
): OptionsOf<S> {
  const picked: Record<string, OptionValue> = {}
  for (const [name, spec] of Object.entries(specs)) {
    const value = given[name]
    if (!isGiven(value)) continue
    if (!isValueOf(spec, value)) throw wrong(`--${optionName(name)} is ${String(value)}, expected ${valueOf(spec)}`)
    picked[name] = value
  }
  return picked as OptionsOf<S>
}

function isValueOf(spec: OptionSpec, value: unknown): value is OptionValue {
  switch (spec.kind) {
    case 'flag':
      return value === true
    case 'paths':
      return Array.isArray(value) && value.every((path) => typeof path === 'string')
    case 'size':
    case 'number':
      return Number.isSafeInteger(value) && Number(value) >= (spec.min ?? 0) && Number(value) <= (spec.max ?? Infinity)
  }
}

/** Says in words what an option takes. */
function valueOf(spec: OptionSpec): string {
  switch (spec.kind) {
    case 'flag':
      return 'true or false'
    case 'paths':
      return 'a list of paths'
    case 'size':
    case 'number':
      return spec.max === undefined
        ? `a whole number of at least ${spec.min ?? 0}`
        : `a whole number from ${spec.min ?? 0} to ${spec.max}`
  }
}
