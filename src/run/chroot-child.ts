/**
 * Process between chrootRun and the program: it moves into the image, gives up what the program shall not have, and
 * starts it. A process of its own, because a root directory and a user id can be changed, but not changed back.
 */
import { spawn } from 'node:child_process'
import { closeSync, writeSync } from 'node:fs'
import { errnoOf } from '../error.ts'
import { isErrno } from '../linux/libc.ts'
import { attachMount, cloneMount, legacyMount } from '../linux/mount-calls.ts'
import { chroot, enterMountNamespace } from '../linux/namespace.ts'
import { pathFromUtf8 } from '../paths.ts'
import { exitCodeOf, forwardSignals, parseSignal } from './signals.ts'
import type { Account } from './user.ts'

export interface ChrootRequest {
  readonly root: string
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly account: Account
  readonly stopSignal: string
}

/**
 * Report written to descriptor 3 when the program did not start; has an `exitCode` when it is the program's own fault.
 */
export interface ChrootRefusal {
  readonly exitCode?: 126 | 127
  readonly message: string
}

const report = 3

if (process.argv[2] !== undefined) start(JSON.parse(process.argv[2]) as ChrootRequest)

function start(request: ChrootRequest): void {
  try {
    enterImage(request.root)
    becomeUser(request.account)
    process.chdir(request.cwd)
  } catch (error) {
    refuse({ message: error instanceof Error ? error.message : String(error) })
    return
  }
  runProgram(request)
}

function enterImage(root: string): void {
  const mountPoint = pathFromUtf8(root)
  enterMountNamespace(mountPoint)
  const dev = cloneMount('/dev')
  chroot(mountPoint)
  // From here on every path, and every symlink in it, is the image's and ends inside of it.
  ignoringMissing(() => attachMount(dev, '/dev'))
  ignoringMissing(() => legacyMount('proc', '/proc', 'proc', 0, ''))
  closeSync(dev)
}

function ignoringMissing(mount: () => void): void {
  try {
    mount()
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error
  }
}

function becomeUser({ uid, gid, groups }: Account): void {
  process.setgroups?.([...groups])
  process.setgid?.(gid)
  process.setuid?.(uid)
}

function runProgram({ args: [program = '', ...args], env, stopSignal }: ChrootRequest): void {
  const variables = Object.fromEntries(
    env.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
  )
  forwardSignals(() => child, parseSignal(stopSignal))
  const child = spawn(program, args, { env: variables, stdio: 'inherit' })
  child.on('error', (error) => {
    const missing = errnoOf(error) === 'ENOENT'
    refuse({ exitCode: missing ? 127 : 126, message: missing ? 'it is not in the image' : error.message })
  })
  child.on('exit', (code, signal) => process.exit(exitCodeOf(code, signal)))
}

function refuse(refusal: ChrootRefusal): void {
  writeSync(report, JSON.stringify(refusal))
  process.exit(125)
}
