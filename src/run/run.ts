import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { RunConfig } from '../formats/oci/image-config.ts'
import { mountImage } from '../mount/mount-image.ts'
import type { MountStore } from '../mount/mount-state.ts'
import type { MountRecord } from '../store/mount-record.ts'
import { type Unmounted, unmountImage } from '../mount/unmount.ts'
import { type Bind, checkBind } from './bind.ts'
import { writeBundleConfig } from './bundle.ts'
import { type ProcessOptions, type ProcessSpec, processSpec } from './process.ts'
import { checkProgram } from './program.ts'
import { Rootfs } from './container-root.ts'
import { Container } from './container.ts'
import { ProgramError, findRuntime, readRuntimeError } from './runtime.ts'
import { exitCodeOf, forwardSignals, parseSignal } from './signals.ts'
import { resolveUser } from './user.ts'

export interface RunOptions extends ProcessOptions {
  /** Name of the image in listings. */
  readonly imageName?: string | undefined
  /** Hands our standard input on; otherwise the program reads nothing. */
  readonly interactive?: boolean | undefined
  readonly binds?: readonly Bind[] | undefined
  /** Network of the container: `host` (the default) shares the machine's; `none` has loopback only. */
  readonly network?: 'host' | 'none' | undefined
  readonly readOnly?: boolean | undefined
  /** Runs only from files that are sealed with fs-verity, as `MountOptions.verity`. */
  readonly verity?: boolean | undefined
  /** Digest that the image must have, as `MountOptions.digest`. */
  readonly digest?: VerityDigest | undefined
  /** Throws away what the program changed; otherwise it is kept under the mount's id. */
  readonly rm?: boolean | undefined
  /** Name of the container, and its host name. */
  readonly name?: string | undefined
  /** Name or path of an OCI runtime; default crun, else runc. */
  readonly runtime?: string | undefined
  /** Ends the program with its stop signal, and after `stopTimeout` seconds (default 10) with SIGKILL. */
  readonly signal?: AbortSignal | undefined
  readonly stopTimeout?: number | undefined
}

export interface RunResult {
  /** Exit code of the program, or 128 and the signal that ended it. */
  readonly exitCode: number
  readonly runtime: string
  readonly mount: string
  /** The upper directory with what the program changed, unless there is nothing or it was thrown away. */
  readonly kept: string | undefined
}

/**
 * Runs a program in a container made from a stored image and waits for its end; standard streams, terminal and signals
 * are the program's meanwhile. Throws a ProgramError when the program is missing or cannot be executed.
 */
export async function runImage(
  store: MountStore,
  image: VerityDigest,
  config: RunConfig,
  options: RunOptions = {},
): Promise<RunResult> {
  options.signal?.throwIfAborted()
  const runtime = findRuntime(options.runtime)
  const name = containerName(options.name)
  const { verity, digest, rm, imageName } = options
  const mount = mountImage(store, image, { rw: true, volatile: rm ?? false, name: imageName, verity, digest })
  let started = false
  const onStart = (): void => void (started = true)
  let done: Unmounted | undefined
  let exitCode: number
  try {
    exitCode = await runContainer(runtime, mount, name ?? `onefold-${mount.id}`, config, { ...options, onStart })
  } catch (error) {
    if (error instanceof ProgramError) started = false
    throw error
  } finally {
    // Without the program there are no changes, only the places that the runtime made for mounts.
    done = unmountImage(store, mount.id, { discard: options.rm === true || !started })
  }
  return { exitCode, runtime: basename(runtime), mount: mount.id, kept: done.kept }
}

function containerName(name: string | undefined): string | undefined {
  if (name === undefined || /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(name)) return name
  throw new OnefoldError(
    'USAGE',
    `Cannot call a container ${JSON.stringify(name)}: expected up to 63 letters, digits, "_", "." and "-"`,
  )
}

async function runContainer(
  runtime: string,
  mount: MountRecord,
  id: string,
  config: RunConfig,
  options: RunOptions & { readonly onStart: () => void },
): Promise<number> {
  const spec = prepareProcess(mount.target, config, options)
  options.binds?.forEach(checkBind)
  using bundle = mkdtempDisposableSync(join(tmpdir(), 'onefold-run-'))
  writeFileSync(
    join(bundle.path, 'config.json'),
    writeBundleConfig({
      rootfs: mount.target,
      process: spec,
      terminalSize: terminalSize(),
      openFilesMax: openFilesMax(),
      hostname: options.name ?? mount.id,
      network: options.network ?? 'host',
      readOnly: options.readOnly ?? false,
      binds: [...hostFiles(), ...(options.binds ?? [])],
      stopSignal: config.stopSignal,
    }),
  )
  const log = join(bundle.path, 'log')
  const container = new Container(runtime, id, bundle.path, log)
  options.onStart()
  const exitCode = await runToEnd(container, config, options)
  const refusal = exitCode === 0 ? undefined : readRuntimeError(log, spec.args[0] ?? '')
  if (refusal !== undefined) throw refusal
  return exitCode
}

/**
 * Prepares the process: user and groups from the image's own files; and its working directory, which need not exist in
 * the image.
 */
export function prepareProcess(root: string, config: RunConfig, options: ProcessOptions): ProcessSpec {
  using rootfs = new Rootfs(root)
  const user = options.user ?? config.user
  const account = resolveUser(user, rootfs.readText('/etc/passwd') ?? '', rootfs.readText('/etc/group') ?? '')
  const spec = processSpec(config, options, account, process.env)
  rootfs.makeDirectories(spec.cwd)
  checkProgram(rootfs, spec)
  return spec
}

/** Returns the host's files by which names are found: the container uses the machine's network. */
function hostFiles(): Bind[] {
  return ['/etc/resolv.conf', '/etc/hosts']
    .filter((path) => existsSync(path))
    .map((path) => ({ source: path, destination: path, readOnly: true }))
}

function terminalSize(): { readonly width: number; readonly height: number } | undefined {
  const { isTTY, columns, rows } = process.stdout
  return isTTY ? { width: columns, height: rows } : undefined
}

function openFilesMax(): number {
  const [, hard] = /^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
  return hard === undefined ? Infinity : Number(hard)
}

async function runToEnd(container: Container, config: RunConfig, options: RunOptions): Promise<number> {
  const stopSignal = parseSignal(config.stopSignal) ?? 'SIGTERM'
  const input = options.interactive === true || options.tty === true ? 'inherit' : 'ignore'
  using _forward = forwardSignals(() => child, stopSignal)
  const child = container.start([input, 'inherit', 'inherit'])
  using _stop = onAbort(options.signal, () => {
    child.kill(stopSignal)
    return setTimeout(() => container.control('kill', container.id, 'KILL'), (options.stopTimeout ?? 10) * 1000)
  })
  const [code, signal] = await ended(child, container.runtime)
  // A runtime that was killed could not take its container along.
  if (signal !== null) container.control('delete', '--force', container.id)
  return exitCodeOf(code, signal)
}

/** Calls `stop` when the signal comes; what it starts ends with the scope. */
function onAbort(signal: AbortSignal | undefined, stop: () => NodeJS.Timeout): Disposable {
  let timer: NodeJS.Timeout | undefined
  const listener = (): void => void (timer = stop())
  signal?.addEventListener('abort', listener, { once: true })
  return {
    [Symbol.dispose]() {
      signal?.removeEventListener('abort', listener)
      clearTimeout(timer)
    },
  }
}

async function ended(child: ChildProcess, runtime: string): Promise<[number | null, NodeJS.Signals | null]> {
  try {
    return (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  } catch (cause) {
    throw new OnefoldError('IO', `Cannot start ${runtime}: ${String(cause)}`, { cause })
  }
}
