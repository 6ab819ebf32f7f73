import { OnefoldError } from '../error.ts'
import type { Call, Options } from './command.ts'
import { commandTable, isCommand } from './commands.ts'
import { exitCodes } from './globals.ts'
import { type Output, type OutputOptions, terminalOutput } from './output.ts'
import { findCommand, parseCommand, parseGlobals, type Parsed } from './parse.ts'
import { report } from './report.ts'

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args)
  } catch (error) {
    return report(error, { json: args.includes('--json'), verbose: args.includes('--verbose') })
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  const { command: name, rest } = findCommand(args)
  if (name === undefined) return withoutCommand(rest)
  if (name === 'help') return help(parseGlobals(rest, {}).operands[0])
  if (!isCommand(name)) throw unknownCommand(name)
  const command = await commandTable[name].load()
  const parsed = parseCommand(name, command, rest)
  if (parsed.options.flag('help')) return help(name)
  try {
    return (await command.run(callFor(parsed))) ?? exitCodes.ok
  } catch (error) {
    const usual = report(error, outputOptions(parsed.options))
    return command.exitCode?.(error) ?? usual
  }
}

function unknownCommand(name: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot run "${name}": there is no such command`, { hint: 'See: onefold --help' })
}

async function withoutCommand(args: readonly string[]): Promise<number> {
  const { options } = parseGlobals(args, { version: { help: '' } })
  if (options.flag('version')) {
    const version = await commandTable.version.load()
    await version.run(callFor({ operands: [], options }))
    return exitCodes.ok
  }
  const { programHelp } = await import('./help.ts')
  helpOutput().lines(programHelp().split('\n'))
  return options.flag('help') ? exitCodes.ok : exitCodes.usage
}

async function help(name: string | undefined): Promise<number> {
  const { programHelp, commandHelp } = await import('./help.ts')
  if (name !== undefined && !isCommand(name)) throw unknownCommand(name)
  const text = name === undefined ? programHelp() : commandHelp(name, await commandTable[name].load())
  helpOutput().lines(text.split('\n'))
  return exitCodes.ok
}

function helpOutput(): Output {
  return terminalOutput({ json: false, quiet: false, verbose: false })
}

function callFor({ operands, options }: Parsed): Call {
  const storeRoot = options.text('store') ?? (process.env['ONEFOLD_STORE'] || undefined)
  if (storeRoot === '') throw new OnefoldError('USAGE', 'Cannot open the store "": expected a directory after --store')
  let signal: AbortSignal | undefined
  return {
    operands,
    options,
    commands: commandTable,
    storeRoot,
    out: terminalOutput(outputOptions(options)),
    get signal() {
      return (signal ??= interruption())
    },
  }
}

function outputOptions(options: Options): OutputOptions {
  return { json: options.flag('json'), quiet: options.flag('quiet'), verbose: options.flag('verbose') }
}

/**
 * Returns a signal for the first interruption, which asks for an orderly end; the second one finds its default action
 * again.
 */
function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => controller.abort())
  return controller.signal
}
