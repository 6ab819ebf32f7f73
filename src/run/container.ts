import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process'
import { hybridCgroupMount, runtimeCommand } from './runtime.ts'

/** Container of a bundle, as its runtime knows it. */
export class Container {
  readonly runtime: string
  readonly id: string
  readonly #bundle: string
  readonly #log: string
  readonly #hybridCgroups = hybridCgroupMount()

  constructor(runtime: string, id: string, bundle: string, log: string) {
    this.runtime = runtime
    this.id = id
    this.#bundle = bundle
    this.#log = log
  }

  /** Creates and starts the container; the process lives as long as the program, and ends with its exit code. */
  start(stdio: StdioOptions): ChildProcess {
    const options = ['--log', this.#log, '--log-format', 'json']
    const [program, ...args] = this.#command(...options, 'run', '--bundle', this.#bundle, this.id)
    return spawn(program, args, { stdio })
  }

  /** Runs any other command of the runtime; that there is nothing left to control is no error. */
  control(...command: string[]): void {
    const [program, ...args] = this.#command(...command)
    spawnSync(program, args, { stdio: 'ignore' })
  }

  #command(...args: string[]): [string, ...string[]] {
    return runtimeCommand(this.runtime, this.#hybridCgroups, ...args)
  }
}
