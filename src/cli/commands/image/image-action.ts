import type { Call, Example, OptionSpecs } from '../../command.ts'

/** One action of `onefold image`. */
export interface Action {
  readonly operands: string
  readonly summary: string
  readonly options: OptionSpecs
  readonly examples: readonly Example[]
  /** Runs the action; `operands` come without its own name, checked against `least` and `most`. */
  run(call: Call, operands: readonly string[]): Promise<void>
  readonly least: number
  readonly most: number
}

/** Option that loosens what is strict by default. */
export const compatOption = {
  compat: { help: "take what composefs' own tools take, and object paths that are not the digest's own" },
} as const satisfies OptionSpecs
