import { readdirSync } from 'node:fs'
import { posix } from 'node:path'
import type { ProcessSpec } from './process.ts'
import type { Rootfs } from './container-root.ts'
import { ProgramError } from './runtime.ts'

/**
 * Finds out before the start what the kernel would refuse only in the container, where a runtime can no longer say it
 * apart from what the program says: a script or a program whose interpreter is missing, and one for another machine.
 * Everything else is left to the runtime. The image's files are read as far as their headers, and believed in nothing.
 */
export function checkProgram(rootfs: Rootfs, { args: [name = ''], env, cwd }: ProcessSpec): void {
  const path = candidates(name, env, cwd).find((candidate) => rootfs.isProgram(candidate))
  const head = path === undefined ? undefined : rootfs.readHead(path, headMax)
  if (head === undefined) return
  const interpreter = isScript(head) ? scriptInterpreter(head) : elfInterpreter(head)
  if (interpreter !== undefined && !rootfs.isProgram(posix.resolve(cwd, interpreter)))
    throw new ProgramError(
      127,
      `Cannot run ${JSON.stringify(name)}: its interpreter "${interpreter}" is not in the image`,
    )
  if (!isScript(head) && !isNative(head) && !hasOtherFormats())
    throw new ProgramError(
      126,
      `Cannot run ${JSON.stringify(name)}: it is no program for this machine (${process.arch})`,
    )
}

/**
 * Number of bytes to read: enough for the program headers of every linker, which put them and the interpreter's name
 * first.
 */
const headMax = 4096

function candidates(name: string, env: readonly string[], cwd: string): string[] {
  if (name.includes('/')) return [posix.resolve(cwd, name)]
  const path = env.find((variable) => variable.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  return path.split(':').map((folder) => posix.resolve(cwd, folder, name))
}

function isScript(head: Buffer): boolean {
  return head.toString('latin1', 0, 2) === '#!'
}

/** Reads the interpreter of `#!INTERPRETER [ARGUMENT]` (execve(2)); undefined when the line says nothing. */
function scriptInterpreter(head: Buffer): string | undefined {
  const [, name] = /^#![ \t]*([^ \t\n\0]+)/.exec(head.toString('utf8')) ?? []
  return name
}

/** Offsets of the 64-bit ELF header and of a program header (elf(5)). */
const elf = { magic: 0x464c457f, machineAt: 18, tableAt: 32, entrySizeAt: 54, countAt: 56 }
const header = { interpreter: 3, offsetAt: 8, sizeAt: 32 }
const class64 = 2
/** e_machine of the programs that a kernel of each architecture runs: its own, and its 32-bit ancestor's. */
const machines: Readonly<Record<string, readonly number[]>> = { x64: [62, 3], arm64: [183, 40] }

function isElf(head: Buffer): boolean {
  return head.length >= 64 && head.readUInt32LE(0) === elf.magic
}

function isNative(head: Buffer): boolean {
  return isElf(head) && (machines[process.arch]?.includes(head.readUInt16LE(elf.machineAt)) ?? true)
}

/** Reads PT_INTERP, the dynamic loader; undefined when there is none, or it lies beyond the bytes that were read. */
function elfInterpreter(head: Buffer): string | undefined {
  if (!isNative(head) || head[4] !== class64) return undefined
  const [table, entrySize] = [Number(head.readBigUInt64LE(elf.tableAt)), head.readUInt16LE(elf.entrySizeAt)]
  for (let i = 0; i < head.readUInt16LE(elf.countAt); i++) {
    const at = table + i * entrySize
    if (at + 40 > head.length) return undefined
    if (head.readUInt32LE(at) !== header.interpreter) continue
    const [start, size] = [head.readBigUInt64LE(at + header.offsetAt), head.readBigUInt64LE(at + header.sizeAt)]
    if (start + size > head.length || size < 2) return undefined
    return head.toString('utf8', Number(start), Number(start + size) - 1)
  }
  return undefined
}

/** Tells whether the kernel has been told to start files of other formats with an emulator (binfmt_misc). */
function hasOtherFormats(): boolean {
  try {
    return readdirSync('/proc/sys/fs/binfmt_misc').some((name) => name !== 'register' && name !== 'status')
  } catch {
    return false
  }
}
