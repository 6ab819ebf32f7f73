import type { OptionSpecs } from './command.ts'

/** Options that every command takes, before or after its name. */
export const globalOptions = {
  store: { value: 'DIR', help: 'the store (default: $ONEFOLD_STORE, else /var/lib/onefold or ~/.local/share/onefold)' },
  json: { help: 'print results as JSON, and an error as one line of it: {"error":{code,message,hint}}' },
  quiet: { short: 'q', help: 'print neither progress nor notes' },
  verbose: { help: 'say more about what happens, and show where an error came from' },
  help: { short: 'h', help: 'show help' },
} as const satisfies OptionSpecs

/** Exit codes and their meanings, for scripts. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  damage: 4,
  repaired: 5,
  runFailed: 125,
  interrupted: 130,
} as const
