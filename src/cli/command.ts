import type { Output } from './output.ts'

/** One option of a command; `value` names its argument, and without one it is a switch. */
export interface OptionSpec {
  readonly help: string
  readonly short?: string
  readonly value?: string
  /** The values that there are, where they can be listed. */
  readonly choices?: readonly string[]
  readonly multiple?: boolean
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

/** Command as `--help` shows it and as it runs. Help, and whatever else describes commands, is made from this alone. */
export interface Command {
  /** Operands as they are written: `SOURCE [TARGET]`. */
  readonly operands: string
  /** Text of its help page, a few sentences. */
  readonly about: string
  readonly options: OptionSpecs
  /** Things that have names of their own in this command, such as formats. */
  readonly glossary?: Glossary
  readonly examples: readonly Example[]
  /** Number of operands after which everything belongs to somebody else (`run IMAGE [CMD …]`). */
  readonly restAfter?: number
  /**
   * Runs the command.
   * @returns the exit code; nothing means 0
   */
  run(call: Call): Promise<number | void>
  /** Returns the exit code for an error of this command, where the usual one would not tell enough. */
  exitCode?(error: unknown): number | undefined
}

/** A command as the list of all commands has it. */
export interface CommandEntry {
  readonly summary: string
  /** Commands are loaded when they are called: `--help` must not pay for any of them. */
  load(): Promise<Command>
}

/** Names that mean something in a command, such as those of formats. */
export interface Glossary {
  readonly title: string
  readonly terms: readonly { readonly term: string; readonly meaning: string }[]
}

export interface Example {
  readonly command: string
  readonly meaning: string
}

/** Input of a command. */
export interface Call {
  readonly operands: readonly string[]
  readonly options: Options
  /** All commands by name, for the one that completes command lines. */
  readonly commands: Readonly<Record<string, CommandEntry>>
  /** Value of --store or ONEFOLD_STORE, if either was given. */
  readonly storeRoot: string | undefined
  readonly out: Output
  /**
   * Signal that is aborted by the first SIGINT, SIGTERM or SIGHUP; a command that never asks for it ends by them as any
   * process.
   */
  readonly signal: AbortSignal
}

export interface Options {
  flag(name: string): boolean
  text(name: string): string | undefined
  texts(name: string): readonly string[]
}
