import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

/** A table of one bench as people and programs read it. */
export interface Report {
  readonly bench: string
  readonly title: string
  /** One sentence each: what is asked for, and whether it was reached. */
  readonly goals: readonly Goal[]
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
  /** Everything measured, for the JSON file. */
  readonly data: unknown
}

export interface Goal {
  readonly what: string
  readonly most: number
  readonly got: number
}

export function printReport({ title, goals, columns, rows }: Report): void {
  const table = [columns, ...rows.map((row) => row.map(String))]
  const widths = columns.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
  console.log(`\n${title}`)
  for (const row of table) console.log(`  ${line(row).join('  ')}`)
  for (const { what, most, got } of goals)
    console.log(`  ${got <= most ? 'reached' : 'MISSED '}  ${what}: ${round(got)} (goal: at most ${most})`)
}

export function writeReport(report: Report): void {
  const folder = fileURLToPath(new URL('results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const { bench, title, goals, data } = report
  const text = JSON.stringify({ bench, title, machine: machine(), goals, data }, undefined, 2)
  writeFileSync(`${folder}${bench}.json`, `${text}\n`)
}

/** What figures depend on, in one line. */
export function machine(): string {
  const kernel = execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim()
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const date = new Date().toISOString().slice(0, 10)
  return `${date}, ${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${kernel}, Node ${process.version}`
}

export function seconds(value: number): string {
  return value.toFixed(2)
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

export function round(value: number): number {
  return Number(value.toPrecision(3))
}
