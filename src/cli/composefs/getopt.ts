/** Command lines as getopt_long(3) reads them, which is what callers of composefs' tools rely on. */

export interface OptionTable {
  /** Names of long options; those in `withValue` take one, as `--name=VALUE` or `--name VALUE`. */
  readonly flags: readonly string[]
  readonly withValue: readonly string[]
  /** Letters of short options, and those that take a value. */
  readonly letters?: string
  readonly lettersWithValue?: string
}

export type FoundOption =
  | { readonly name: string; readonly value: string }
  /** `reason` as getopt prints it; `missing` when an option lacks its value. */
  | { readonly problem: 'unknown' | 'missing'; readonly reason: string }

export interface CommandLine {
  /** Options in order, problems included: what comes before one has had its effect. */
  readonly options: readonly FoundOption[]
  readonly operands: readonly string[]
}

/** Reads a command line. Options may stand behind operands; `--` ends them; a long name may be cut as long as it stays unambiguous. */
export function parseOptions(args: readonly string[], table: OptionTable): CommandLine {
  const options: FoundOption[] = []
  const operands: string[] = []
  const rest = [...args]
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      operands.push(...rest.splice(0))
    } else if (arg.startsWith('--')) options.push(longOption(arg.slice(2), rest, table))
    else if (arg.startsWith('-') && arg !== '-') options.push(...shortOptions(arg.slice(1), rest, table))
    else operands.push(arg)
  }
  return { options, operands }
}

function longOption(text: string, rest: string[], table: OptionTable): FoundOption {
  const equals = text.indexOf('=')
  const written = equals < 0 ? text : text.slice(0, equals)
  const value = equals < 0 ? undefined : text.slice(equals + 1)
  const name = fullName(written, table)
  if (typeof name !== 'string') return name
  if (table.flags.includes(name)) {
    return value === undefined
      ? { name, value: '' }
      : { problem: 'unknown', reason: `option '--${name}' doesn't allow an argument` }
  }
  const given = value ?? rest.shift()
  return given === undefined
    ? { problem: 'missing', reason: `option '--${name}' requires an argument` }
    : { name, value: given }
}

function fullName(written: string, { flags, withValue }: OptionTable): string | FoundOption {
  const names = [...flags, ...withValue]
  if (names.includes(written)) return written
  const fitting = names.filter((name) => name.startsWith(written))
  const [only] = fitting
  if (only === undefined) return { problem: 'unknown', reason: `unrecognized option '--${written}'` }
  if (fitting.length === 1) return only
  const possibilities = fitting.map((name) => ` '--${name}'`).join('')
  return { problem: 'unknown', reason: `option '--${written}' is ambiguous; possibilities:${possibilities}` }
}

function* shortOptions(letters: string, rest: string[], table: OptionTable): Generator<FoundOption> {
  for (let at = 0; at < letters.length; at++) {
    const name = letters.charAt(at)
    if (table.lettersWithValue?.includes(name) === true) {
      const value = at + 1 < letters.length ? letters.slice(at + 1) : rest.shift()
      yield value === undefined
        ? { problem: 'missing', reason: `option requires an argument -- '${name}'` }
        : { name, value }
      return
    }
    yield table.letters?.includes(name) === true
      ? { name, value: '' }
      : { problem: 'unknown', reason: `invalid option -- '${name}'` }
  }
}
