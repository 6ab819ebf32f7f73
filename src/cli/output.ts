import { writeSync } from 'node:fs'
import { OnefoldError, describeErrno, errnoOf } from '../error.ts'
import { pathFromUtf8, pathToBytes } from '../paths.ts'

/** Output of a command: results go to stdout, everything else to stderr. */
export interface Output {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  /** Prints a line of a result, for people: nothing in it steers a terminal. */
  readonly line: (text: string) => void
  /** Prints any number of lines. */
  readonly lines: (texts: Iterable<string>) => void
  /** Writes bytes of a result, as they are. */
  readonly bytes: (bytes: Uint8Array) => void
  /** Prints the result for programs; one JSON document per command. */
  readonly value: (value: unknown) => void
  /** Prints a list for programs, a line for each of its values: it may be longer than a string can be. */
  readonly list: (values: Iterable<unknown>) => void
  /** Prints rows for people, columns aligned. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void
  /** Prints something worth knowing that is not the result. */
  readonly note: (text: string) => void
}

export interface OutputOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
}

export function terminalOutput(options: OutputOptions): Output {
  const lines = (texts: Iterable<string>): void => {
    let pending = ''
    for (const text of texts) {
      pending += `${safeText(text)}\n`
      if (pending.length < writeSize) continue
      writeAll(1, Buffer.from(pending))
      pending = ''
    }
    if (pending !== '') writeAll(1, Buffer.from(pending))
  }
  return {
    ...options,
    line: (text) => lines([text]),
    lines,
    bytes: (bytes) => writeAll(1, bytes),
    value: (value) => writeAll(1, Buffer.from(`${jsonText(value, 2)}\n`)),
    list: (values) => lines(jsonList(values)),
    table: (head, rows) => lines(alignColumns([head, ...rows])),
    note: (text) => {
      if (!options.quiet) writeAll(2, Buffer.from(`${safeText(text)}\n`))
    },
  }
}

const writeSize = 64 * 1024

/** Returns JSON in which nothing steers a terminal either; a program reads the same from it. */
export function jsonText(value: unknown, indent?: number): string {
  const escape = (text: string): string =>
    Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')
  return JSON.stringify(value, null, indent).replace(steering, (text) => (text === '\n' ? text : escape(text)))
}

function* jsonList(values: Iterable<unknown>): Generator<string> {
  let previous: string | undefined
  for (const value of values) {
    yield previous === undefined ? '[' : `${previous},`
    previous = jsonText(value)
  }
  if (previous === undefined) yield '[]'
  else yield* [previous, ']']
}

/**
 * Writes all bytes. A pipe that nobody reads any more is not an error of ours (`onefold ls … | head`); the process ends
 * as `cat` would.
 */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(fd, bytes, done)
    } catch (error) {
      const code = errnoOf(error)
      if (code === 'EPIPE') process.exit(141)
      if (code !== 'EAGAIN')
        throw new OnefoldError(
          'IO',
          `Cannot write the result: ${code === undefined ? String(error) : describeErrno(code)}`,
          { cause: error },
        )
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0),
  )
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** Shows a number of bytes for people, in powers of ten: `362 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** Characters that a terminal would take as an order, or hide, or show in another place. */
const steering = /[\p{Cc}\p{Cf}\u2028\u2029]/gu

/**
 * Returns a name for people. Names are bytes: what is not printable UTF-8 is shown as `\xNN`, so that a file name
 * cannot steer a terminal, and a backslash that would read like one of these as well, so that no two names look the
 * same. `nameFrom` reads it.
 */
export function printableName(path: string): string {
  const bytes = pathToBytes(path)
  const text = bytes.toString('utf8')
  const isUtf8 = Buffer.from(text, 'utf8').equals(bytes)
  return (isUtf8 ? text : path)
    .replace(/\\(?=x[0-9a-f]{2})/g, '\\x5c')
    .replace(isUtf8 ? steering : /[^\x20-\x7e]/g, (char) => escaped(Buffer.from(char, isUtf8 ? 'utf8' : 'latin1')))
}

/** Returns the path that printableName shows as `text`. */
export function nameFrom(text: string): string {
  const bytes = pathFromUtf8(text)
  return bytes.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** Returns text that quotes strangers, with nothing in it that steers a terminal. */
export function safeText(text: string): string {
  return text.replace(steering, (char) => escaped(Buffer.from(char, 'utf8')))
}

function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

/** Parses `512M`, `64G`, `1000`: powers of 1024, as `truncate` and `podman` read them. */
export function parseBytes(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,15})([kKMGTP]?)(?:i?B)?$/.exec(text) ?? []
  const bytes = Number(digits) * 1024 ** ['', 'K', 'M', 'G', 'T', 'P'].indexOf(unit.toUpperCase())
  if (digits !== undefined && Number.isSafeInteger(bytes)) return bytes
  throw new OnefoldError(
    'USAGE',
    `Cannot read size ${JSON.stringify(text)}: expected a number, with K, M, G or T behind it if need be`,
  )
}
