import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { GuestFiles } from './packages.ts'

/** In the order in which they need each other. */
const modules = [
  'drivers/block/virtio_blk',
  'lib/libcrc32c',
  'fs/netfs/netfs',
  'fs/erofs/erofs',
  'fs/overlayfs/overlay',
]

/** Mounts the first disk as root and the second, which has fs-verity, on /store; then the guest's own program takes over. */
const init = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in ${modules.map((path) => path.replace(/.*\//, '')).join(' ')}; do $b insmod /$module.ko; done
$b mount -t ext4 -o ro /dev/vda /root
$b mount -t ext4 /dev/vdb /root/store
for folder in proc sys dev; do $b mount --move /$folder /root/$folder; done
$b mount -t tmpfs tmp /root/tmp
exec $b switch_root /root /bin/busybox sh /guest.sh
`

/** Writes the file system that the kernel starts with: busybox, a few modules, and what to do with them. */
export function writeInitrd(path: string, files: GuestFiles): void {
  const archive = new Cpio()
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'root']) archive.add(folder, 0o040755)
  archive.add('bin/busybox', 0o100755, readFileSync(files.busybox))
  for (const module of modules) {
    const bytes = execFileSync('xz', ['-dc', `${files.modules}/${module}.ko.xz`], { maxBuffer: 64 * 1024 * 1024 })
    archive.add(module.replace(/.*\//, '') + '.ko', 0o100644, bytes)
  }
  archive.add('init', 0o100755, Buffer.from(init))
  writeFileSync(path, gzipSync(archive.end(), { level: 1 }))
}

/** The "new ASCII" format, Documentation/driver-api/early-userspace/buffer-format.rst: a header of 13 fields of 8 hex digits. */
class Cpio {
  readonly #parts: Uint8Array[] = []
  #inode = 0

  add(name: string, mode: number, bytes: Uint8Array = new Uint8Array()): void {
    const path = Buffer.from(`${name}\0`)
    const fields = [++this.#inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, path.length, 0]
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`
    this.#parts.push(padded(Buffer.concat([Buffer.from(header), path])), padded(bytes))
  }

  end(): Uint8Array {
    this.add('TRAILER!!!', 0)
    return Buffer.concat(this.#parts)
  }
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}
