import { relative } from 'node:path'
import { inspect } from 'node:util'
import type { TestEvent } from 'node:test/reporters'

/**
 * What a run of all tests has to say: nothing for what passes, everything for what fails, and at the end what was
 * skipped and why, the slowest files, the coverage when it was asked for, and, as the very last line, the counts.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const skipped = new Map<string, string[]>()
  const files: FileTime[] = []
  for await (const event of events) {
    const { type, data } = event
    if (type === 'test:fail' && !failsThroughChildren(data)) yield failure(data)
    else if (type === 'test:pass' && typeof data.skip === 'string')
      skipped.set(data.skip, [...(skipped.get(data.skip) ?? []), data.name])
    else if (type === 'test:stderr') yield data.message
    else if (type === 'test:coverage') yield* coverage(data.summary)
    else if (type === 'test:summary' && data.file === undefined) yield* summary(data, skipped, files)
    else if (type === 'test:summary' && data.file !== undefined) files.push({ file: data.file, ms: data.duration_ms })
  }
}

/** An assertion on a long text repeats all of it. */
const mostLines = 60

type Fail = Extract<TestEvent, { type: 'test:fail' }>['data']
type Summary = Extract<TestEvent, { type: 'test:summary' }>['data']
type Coverage = Extract<TestEvent, { type: 'test:coverage' }>['data']['summary']
type FileTime = { readonly file: string; readonly ms: number }

/** A suite fails with each of its tests; the tests say it better. */
function failsThroughChildren({ details }: Fail): boolean {
  return 'failureType' in details.error && details.error.failureType === 'subtestsFailed'
}

function failure({ name, file, line, details }: Fail): string {
  const where = file === undefined ? '' : ` (${fromHere(file)}:${line ?? 0})`
  const told = inspect(details.error.cause ?? details.error).split('\n')
  const left = told.length > mostLines ? [`… ${told.length - mostLines} lines more`] : []
  return [`\nFAILED ${name}${where}`, ...told.slice(0, mostLines), ...left, ''].join('\n')
}

function* coverage({ files, totals }: Coverage): Generator<string> {
  for (const file of files) yield `${percent(file.coveredLinePercent)} ${fromHere(file.path)}\n`
  yield `${percent(totals.coveredLinePercent)} of all lines, ${percent(totals.coveredBranchPercent)} of all branches\n`
}

function* summary(data: Summary, skipped: Map<string, string[]>, files: FileTime[]): Generator<string> {
  for (const [reason, names] of skipped) yield `skipped: ${names.length} (${reason})\n`
  const slowest = files.toSorted((a, b) => b.ms - a.ms).slice(0, 3)
  const times = slowest.map(({ file, ms }) => `${fromHere(file)} ${seconds(ms)}`)
  yield `tests took ${seconds(data.duration_ms)}, longest: ${times.join(', ')}\n`
  const { tests, passed, skipped: left } = data.counts
  yield `${passed} passed, ${tests - passed - left} failed, ${left} skipped\n`
}

function fromHere(path: string): string {
  return relative(process.cwd(), path)
}

function percent(value: number): string {
  return `${value.toFixed(1)} %`.padStart(7)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
