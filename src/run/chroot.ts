import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { OnefoldError } from '../error.ts'
import type { RunConfig } from '../formats/oci/image-config.ts'
import type { ChrootRefusal, ChrootRequest } from './chroot-child.ts'
import type { ProcessOptions } from './process.ts'
import { prepareProcess } from './run.ts'
import { ProgramError } from './runtime.ts'
import { exitCodeOf, forwardSignals } from './signals.ts'

/**
 * Runs a program of a mounted image where there is no OCI runtime: in a mount namespace of its own with the image as
 * its root, a /proc and the host's /dev. That is a place to run in, not a wall: root in there is root on the machine.
 * Standard streams and signals are the program's meanwhile. Returns its exit code, as runImage does.
 */
export async function chrootRun(root: string, config: RunConfig, options: ProcessOptions = {}): Promise<number> {
  const { args, env, cwd, account } = prepareProcess(root, config, options)
  const request: ChrootRequest = { root, args, env, cwd, account, stopSignal: config.stopSignal }
  const helper = fileURLToPath(new URL(`chroot-child${extname(import.meta.url)}`, import.meta.url))
  using _forward = forwardSignals(() => child)
  const child = spawn(process.execPath, [helper, JSON.stringify(request)], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
  })
  const [refusal, [code, signal]] = await Promise.all([
    text(child.stdio[3] as Readable),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ])
  if (refusal !== '') throw refusalOf(JSON.parse(refusal) as ChrootRefusal, args[0] ?? '')
  return exitCodeOf(code, signal)
}

function refusalOf({ exitCode, message }: ChrootRefusal, program: string): OnefoldError {
  const cannot = `Cannot run ${JSON.stringify(program)}: ${message}`
  return exitCode === undefined ? new OnefoldError('IO', cannot) : new ProgramError(exitCode, cannot)
}
