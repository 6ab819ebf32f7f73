import { writeSync } from 'node:fs'
import { OnefoldError } from '../error.ts'

/** Results go to stdout, everything else to stderr. */
export interface Output {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  /** A line of a result, for people. */
  readonly line: (text: string) => void
  /** Bytes of a result, as they are. */
  readonly bytes: (bytes: Uint8Array) => void
  /** The result for programs; one JSON document per command. */
  readonly value: (value: unknown) => void
  /** Rows for people, columns aligned. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void
  /** Something worth knowing that is not the result. */
  readonly note: (text: string) => void
}

export interface OutputOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
}

export function terminalOutput(options: OutputOptions): Output {
  const line = (text: string): void => writeAll(1, Buffer.from(`${text}\n`))
  return {
    ...options,
    line,
    bytes: (bytes) => writeAll(1, bytes),
    value: (value) => line(JSON.stringify(value, null, 2)),
    table: (head, rows) => {
      for (const row of alignColumns([head, ...rows])) line(row)
    },
    note: (text) => {
      if (!options.quiet) writeAll(2, Buffer.from(`${text}\n`))
    },
  }
}

/** A pipe that nobody reads any more is not an error of ours (`onefold ls … | head`); the process ends as `cat` would. */
function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(fd, bytes, done)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EPIPE') process.exit(141)
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** Bytes for people, in powers of ten: `362 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** Names are bytes: what is not printable UTF-8 is shown as `\xNN`, so that a file name cannot steer a terminal. */
export function printableName(latin1: string): string {
  const text = Buffer.from(latin1, 'latin1').toString('utf8')
  const whole = Buffer.from(text, 'utf8').equals(Buffer.from(latin1, 'latin1'))
  const escape = (char: string): string =>
    Array.from(Buffer.from(char, whole ? 'utf8' : 'latin1'))
      .map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
      .join('')
  return (whole ? text : latin1).replace(whole ? /[\p{Cc}\p{Cf}\u2028\u2029]/gu : /[^\x20-\x7e]/g, escape)
}

/** `512M`, `64G`, `1000`: powers of 1024, as `truncate` and `podman` read them. */
export function parseBytes(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,15})([kKMGTP]?)(?:i?B)?$/.exec(text) ?? []
  const bytes = Number(digits) * 1024 ** ['', 'K', 'M', 'G', 'T', 'P'].indexOf(unit.toUpperCase())
  if (digits !== undefined && Number.isSafeInteger(bytes)) return bytes
  throw new OnefoldError(
    'USAGE',
    `Cannot read size ${JSON.stringify(text)}: expected a number, with K, M, G or T behind it if need be`,
  )
}
