import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder for one test: `using folder = scratch('lock')`; gone, with all that is in it, at the end of the scope. */
export function scratch(name: string): Disposable & { readonly path: string; at: (...names: string[]) => string } {
  const path = mkdtempSync(join(tmpdir(), `onefold-${name}-`))
  return {
    path,
    at: (...names) => join(path, ...names),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}
