import { chmodSync, fstatSync, lstatSync, readdirSync } from 'node:fs'
import { hash } from 'node:crypto'
import { lchown, setMtime } from '../linux/file.ts'
import { getXattr, listXattrs, setXattr } from '../linux/xattr.ts'
import { pathFromUtf8, pathToBytes } from '../paths.ts'

/** Gives an upper directory the mode, owner, xattrs and mtime of the root of a mount (a descriptor, attached or not). */
export function copyRoot(mount: number, upper: string): void {
  const root = fstatSync(mount, { bigint: true })
  const path = `/proc/self/fd/${mount}/.`
  lchown(upper, Number(root.uid), Number(root.gid))
  chmodSync(pathToBytes(upper), Number(root.mode & 0o7777n))
  for (const name of listXattrs(path).filter(isCopied)) setXattr(upper, name, getXattr(path, name) ?? new Uint8Array())
  const nanoseconds = ((root.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  setMtime(upper, Number((root.mtimeNs - nanoseconds) / 1_000_000_000n), Number(nanoseconds))
}

/** Whether an attribute is copied: not one that overlayfs reads; escaped ones are the image's own, and escaped above too. */
function isCopied(name: string): boolean {
  return !name.startsWith('trusted.overlay.') || name.startsWith('trusted.overlay.overlay.')
}

/** A digest of everything that a change to the upper directory itself would alter, but for its entries. */
export function describeRoot(upper: string): string {
  const { mode, uid, gid, mtimeNs } = lstatSync(upper, { bigint: true })
  const path = pathFromUtf8(upper)
  const xattrs = listXattrs(path)
    .filter(isCopied)
    .sort()
    .map((name) => [name, Buffer.from(getXattr(path, name) ?? []).toString('latin1')])
  return hash('sha256', JSON.stringify([mode, uid, gid, mtimeNs].map(String).concat(JSON.stringify(xattrs))), 'hex')
}

/** Whether anything was changed since the upper directory was new. */
export function isUntouched(upper: string, described: string | undefined): boolean {
  return readdirSync(upper).length === 0 && describeRoot(upper) === described
}
