import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../shared/vectors/', import.meta.url))

/** The absolute path of a file of interoperability vectors that may lie beside the project, or undefined. */
export function vectors(path: string): string | undefined {
  return existsSync(root + path) ? root + path : undefined
}

/** For a test's `skip` option: false when the vectors are there, else the reason that the report shows. */
export function withoutVectors(path: string): false | string {
  return vectors(path) === undefined ? `vectors are not beside this checkout: ${path}` : false
}
