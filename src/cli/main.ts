import { OnefoldError } from '../error.ts'
import type { Call } from './command.ts'
import { commandTable, isCommand } from './commands.ts'
import { exitCodes } from './globals.ts'
import { terminalOutput } from './output.ts'
import { findCommand, parseCommand, parseGlobals, type Parsed } from './parse.ts'

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const verbose = args.includes('--verbose')
  try {
    return await dispatch(args)
  } catch (error) {
    return report(error, verbose)
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  const { command: name, rest } = findCommand(args)
  if (name === undefined) return withoutCommand(rest)
  if (name === 'help') return help(rest[0])
  if (!isCommand(name))
    throw new OnefoldError('USAGE', `Cannot run "${name}": there is no such command`, { hint: 'See: onefold --help' })
  const command = await commandTable[name].load()
  const parsed = parseCommand(name, command, rest)
  if (parsed.options.flag('help')) return help(name)
  try {
    return (await command.run(callFor(parsed))) ?? exitCodes.ok
  } catch (error) {
    const usual = report(error, parsed.options.flag('verbose'))
    return command.exitCode?.(error) ?? usual
  }
}

async function withoutCommand(args: readonly string[]): Promise<number> {
  const { options } = parseGlobals(args, { version: { help: '' } })
  if (options.flag('version')) {
    const version = await commandTable.version.load()
    await version.run(callFor({ operands: [], options }))
    return exitCodes.ok
  }
  const { programHelp } = await import('./help.ts')
  terminalOutput({ json: false, quiet: false, verbose: false }).line(programHelp())
  return options.flag('help') ? exitCodes.ok : exitCodes.usage
}

async function help(name: string | undefined): Promise<number> {
  const { programHelp, commandHelp } = await import('./help.ts')
  const out = terminalOutput({ json: false, quiet: false, verbose: false })
  if (name === undefined || !isCommand(name)) out.line(programHelp())
  else out.line(commandHelp(name, await commandTable[name].load()))
  return exitCodes.ok
}

function callFor({ operands, options }: Parsed): Call {
  const storeRoot = options.text('store') ?? process.env['ONEFOLD_STORE']
  const { json, quiet, verbose } = {
    json: options.flag('json'),
    quiet: options.flag('quiet'),
    verbose: options.flag('verbose'),
  }
  let signal: AbortSignal | undefined
  return {
    operands,
    options,
    storeRoot,
    out: terminalOutput({ json, quiet, verbose }),
    get signal() {
      return (signal ??= interruption())
    },
  }
}

/** The first signal asks for an orderly end; the second one finds its default action again. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => controller.abort())
  return controller.signal
}

function report(error: unknown, verbose: boolean): number {
  const interrupted = error instanceof Error && error.name === 'AbortError'
  const found = interrupted ? 'interrupted' : error instanceof OnefoldError ? error.message : String(error)
  const lines = [`onefold: ${found}`]
  if (error instanceof OnefoldError && error.hint !== undefined) lines.push(`  ${error.hint}`)
  if (verbose && error instanceof Error) lines.push(causes(error))
  process.stderr.write(`${lines.join('\n')}\n`)
  if (interrupted) return exitCodes.interrupted
  if (!(error instanceof OnefoldError)) return exitCodes.failed
  if (error.code === 'USAGE' || error.code === 'BAD_NAME') return exitCodes.usage
  return error.code === 'NOT_FOUND' ? exitCodes.notFound : exitCodes.failed
}

function causes(error: Error): string {
  const own = error.stack ?? error.message
  return error.cause instanceof Error ? `${own}\nbecause of ${causes(error.cause)}` : own
}
