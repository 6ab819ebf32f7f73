import { accessSync, closeSync, constants, openSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { enableVerity } from '../src/linux/verity.ts'
import { scratch } from './scratch.ts'

/** For a test's `skip` option: false when we are root, else the reason that the report shows. */
export const needsRoot: false | string = process.getuid?.() === 0 ? false : 'needs root'

/** For a test's `skip` option: false when another user than its owner can use the checkout, which below /root nobody can. */
export const needsOpenCheckout: false | string = isOpen(fileURLToPath(new URL('..', import.meta.url)))
  ? false
  : 'needs a checkout that other users can read'

function isOpen(path: string): boolean {
  return (statSync(path).mode & 0o001) !== 0 && (dirname(path) === path || isOpen(dirname(path)))
}

/** For a test's `skip` option: false when every program is on PATH, else the reason that the report shows. */
export function needsPrograms(...names: string[]): false | string {
  const missing = names.filter((name) => !onPath(name))
  return missing.length === 0 ? false : `needs ${missing.join(', ')} on PATH`
}

function onPath(name: string): boolean {
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** For a test's `skip` option: false when temporary files can be sealed with fs-verity. */
export function needsVerity(): false | string {
  using place = scratch('needs-verity')
  writeFileSync(place.at('file'), 'x')
  const fd = openSync(place.at('file'), 'r')
  try {
    return enableVerity(fd) ? false : 'needs a file system with fs-verity'
  } finally {
    closeSync(fd)
  }
}
