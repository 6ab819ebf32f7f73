import assert from 'node:assert/strict'
import { existsSync, constants, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ioctls, openFlags, structs, syscalls } from './abi.ts'

const headers = { x64: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h', arm64: '/usr/include/asm-generic/unistd.h' }

for (const arch of ['x64', 'arm64'] as const) {
  const skip = existsSync(headers[arch]) ? false : `needs ${headers[arch]} (linux-libc-dev)`
  test(`system call numbers of ${arch} are those of the kernel's headers`, { skip }, () => {
    const header = readFileSync(headers[arch], 'latin1')
    const numbers = new Map(
      Array.from(header.matchAll(/#define __NR_(\w+)\s+(\d+)/g), ([, name, n]) => [name, Number(n)]),
    )
    for (const [name, number] of Object.entries(syscalls)) assert.equal(numbers.get(name), number[arch], name)
  })
}

test('open flags agree with those that Node knows', () => {
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
  assert.equal(openFlags.O_DIRECTORY[arch], constants.O_DIRECTORY)
  assert.equal(openFlags.O_NOFOLLOW[arch], constants.O_NOFOLLOW)
  assert.equal(openFlags.O_DIRECT[arch], constants.O_DIRECT)
})

test('ioctl numbers carry the size of their structure', () => {
  const sizeIn = (number: number): number => (number >>> 16) & 0x3fff
  assert.equal(sizeIn(ioctls.FICLONERANGE), structs.file_clone_range.size)
  assert.equal(sizeIn(ioctls.FS_IOC_ENABLE_VERITY), structs.fsverity_enable_arg.size)
  assert.equal(sizeIn(ioctls.FS_IOC_MEASURE_VERITY), structs.fsverity_digest.size)
  assert.equal(sizeIn(ioctls.FICLONE), 4)
})
