import { readFileSync } from 'node:fs'
import { OnefoldError } from '../error.ts'
import { type ToolName, isTool, tools } from './tools.ts'

/** Starts one of composefs' tools: `main.ts TOOL ARGUMENT…`. */

process.exitCode = await main(byteArguments())

async function main([name = '', ...args]: readonly string[]): Promise<number> {
  try {
    if (!isTool(name)) throw new OnefoldError('USAGE', `Cannot run "${name}": there is no such tool`)
    return await (
      await tools[name]()
    )(args)
  } catch (error) {
    process.stderr.write(Buffer.from(report(name as ToolName, error), 'latin1'))
    return 1
  }
}

function report(tool: ToolName, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof OnefoldError) || error.code !== 'USAGE') return `${tool}: ${message}\n`
  return [message, error.hint].filter((text) => text !== undefined && text !== '').join('\n') + '\n'
}

/** Names are bytes, also on a command line: Node has decoded its arguments as UTF-8, the kernel has them as they were. */
function byteArguments(): string[] {
  const args = process.argv.slice(2)
  try {
    return readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1).slice(-args.length)
  } catch {
    return args.map((text) => Buffer.from(text).toString('latin1'))
  }
}
