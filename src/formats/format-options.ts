/** What can be chosen when a format is written: declared once, for the command line, for checks and for types. */

export type OptionSpec = SizeOption | NumberOption | FlagOption | PathsOption

interface Described {
  /** For `--help`, without the names of the formats. */
  readonly help: string
}

/** A number of bytes: `64K`, `4M`. */
export interface SizeOption extends Described {
  readonly kind: 'size'
  readonly min?: number
  readonly max?: number
}

/** A whole number. */
export interface NumberOption extends Described {
  readonly kind: 'number'
  readonly min?: number
  readonly max?: number
}

export interface FlagOption extends Described {
  readonly kind: 'flag'
}

/** Paths in the image, as UTF-8 text; on the command line the name of a file with one path in a line. */
export interface PathsOption extends Described {
  readonly kind: 'paths'
}

/** By the name that the library uses, `chunkSize`; the command line writes it `--chunk-size`. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export type OptionValue<S extends OptionSpec = OptionSpec> = S extends FlagOption
  ? boolean
  : S extends PathsOption
    ? readonly string[]
    : number

export type OptionsOf<S extends OptionSpecs> = { readonly [K in keyof S]?: OptionValue<S[K]> | undefined }
