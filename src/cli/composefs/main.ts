import { readFileSync } from 'node:fs'
import { pathFromUtf8 } from '../../paths.ts'
import { runTool } from './tools.ts'

/** Starts one of composefs' tools: `main.ts TOOL ARGUMENT…`. */

const [tool = '', ...args] = byteArguments()
const { status, err } = await runTool(tool, args)
if (err !== '') process.stderr.write(Buffer.from(err, 'latin1'))
process.exitCode = status

/** The arguments as bytes, as the kernel has them: Node has decoded its own as UTF-8. */
function byteArguments(): string[] {
  const decoded = process.argv.slice(2)
  try {
    return readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1).slice(-decoded.length)
  } catch {
    return decoded.map(pathFromUtf8)
  }
}
