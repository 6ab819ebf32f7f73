import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface Machine {
  readonly kernel: string
  readonly initrd: string
  /** Files; the first, read-only, is the root. */
  readonly disks: readonly [root: string, ...others: string[]]
}

/** Lines of the guest that begin with this are its report; the rest is told when it does not come to its end. */
export const reportPrefix = '@ '

/**
 * Boots a machine under plain emulation (no KVM: it is missing in most places where tests run) and yields the report of
 * its program line by line until it powers off.
 * @throws Error with the end of the console when it does not within `seconds`, or crashes
 */
export async function* runMachine({ kernel, initrd, disks }: Machine, seconds: number): AsyncGenerator<string> {
  const drives = disks.flatMap((file, i) => [
    '-drive',
    `file=${file},if=none,id=disk${i},format=raw,${i === 0 ? 'readonly=on' : 'cache=unsafe'}`,
    '-device',
    `virtio-blk-pci,drive=disk${i}`,
  ])
  // QEMU 7.2 emulates cmpxchg16b in a way that corrupts the kernel's lists; kernels do without where it is not offered.
  const emulation = '-accel tcg,thread=multi -cpu max,-cx16 -smp 2 -m 1024'
  const devices = '-nodefaults -no-reboot -display none -serial stdio'
  const command = ['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1 mitigations=off']
  const child = spawn('qemu-system-x86_64', [...`${emulation} ${devices}`.split(' '), ...command, ...drives], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const console: string[] = []
  const ended = once(child, 'exit')
  const late = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
  try {
    for await (const raw of createInterface(child.stdout)) {
      const line = raw.replaceAll('\r', '')
      if (line.startsWith(reportPrefix)) yield line.slice(reportPrefix.length)
      else console.push(line)
    }
    const [code, signal] = (await ended) as [number | null, string | null]
    if (code === 0 && !console.some((line) => line.includes('Kernel panic'))) return
    throw new Error(`the machine ended with ${code ?? signal}; its console:\n${console.slice(-60).join('\n')}`)
  } finally {
    clearTimeout(late)
    child.kill('SIGKILL')
  }
}
