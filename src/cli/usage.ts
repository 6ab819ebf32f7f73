import { OnefoldError } from '../error.ts'

/** Refuses a command line whose operands make no sense. `rule` says what the command takes. */
export function usageUnless(condition: boolean, rule: string, command: string): asserts condition {
  if (!condition)
    throw new OnefoldError('USAGE', `Cannot read the command line: ${rule}`, { hint: `See: onefold ${command} --help` })
}
