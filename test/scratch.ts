import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** On a disk, which /tmp need not be: EROFS does not mount images that lie on tmpfs. */
const base = process.env['TMPDIR'] ?? '/var/tmp'

/** A folder for one test: `using folder = scratch('lock')`; gone, with all that is in it, at the end of the scope. */
export function scratch(name: string): Disposable & { readonly path: string; at: (...names: string[]) => string } {
  const path = mkdtempSync(join(base, `onefold-${name}-`))
  return {
    path,
    at: (...names) => join(path, ...names),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}
