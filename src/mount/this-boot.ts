import { readFileSync, readlinkSync } from 'node:fs'

let boot: string | undefined

/** A name for this run of the kernel: mounts of an earlier one are gone. */
export function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return boot
}

/** `mnt:[4026531841]`: only mounts of our own mount namespace show in our mount table. */
export function mountNamespace(): string {
  return readlinkSync('/proc/self/ns/mnt')
}
