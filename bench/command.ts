import { type SpawnOptions, execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Runs a program to its end and gives what it wrote to stdout; a failure carries the end of its stderr. */
export async function output(
  program: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): Promise<string> {
  const { stdout } = await execute(program, [...args], { ...options, maxBuffer: 256 << 20, env: cLocale() })
  return stdout
}

/** Starts a program and says when it ended well; its streams are as `stdio` says. */
export function started(program: string, args: readonly string[], options: SpawnOptions = {}) {
  const child = spawn(program, [...args], { env: cLocale(), ...options })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)))
  child.on('error', reject)
  child.on('close', (code, signal) => {
    if (code === 0) resolve()
    else reject(new Error(`${program} ${args.join(' ')}: ended with ${signal ?? code}\n${complaint}`))
  })
  return { child, ended: promise }
}

/** Sort order and messages that do not depend on who runs the bench. */
export function cLocale(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C' }
}
