import { existsSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import { OnefoldError } from '../error.ts'

/** File or directory of the host shown in the container. */
export interface Bind {
  readonly source: string
  readonly destination: string
  readonly readOnly: boolean
}

/** Parses `SOURCE:DESTINATION[:ro|rw]`, as `-v` takes it. A relative source is below the working directory. */
export function parseBind(text: string): Bind {
  const [source = '', destination = '', mode = 'rw', ...rest] = text.split(':')
  const bad = (detail: string): OnefoldError =>
    new OnefoldError('USAGE', `Cannot bind ${JSON.stringify(text)}: ${detail}, expected SOURCE:DESTINATION[:ro]`)
  if (!destination.startsWith('/') || rest.length > 0) throw bad('the destination is no absolute path')
  if (mode !== 'ro' && mode !== 'rw') throw bad(`${JSON.stringify(mode)} is neither ro nor rw`)
  if (!/^\.{0,2}\//.test(source) && source !== '.' && source !== '..') {
    throw bad('the source is no path that begins with / or ./ (there are no named volumes)')
  }
  const path = posix.resolve(destination)
  if (path === '/') throw bad('the destination is the root')
  return { source: resolve(source), destination: path, readOnly: mode === 'ro' }
}

/** Throws NOT_FOUND unless the source is there: a runtime says so less clearly, and too late. */
export function checkBind({ source }: Bind): void {
  if (existsSync(source)) return
  throw new OnefoldError('NOT_FOUND', `Cannot bind ${JSON.stringify(source)}: there is no such file or directory`)
}
