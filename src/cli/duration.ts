import { OnefoldError } from '../error.ts'

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Parses `90s`, `30m`, `36h`, `7d`, `2w`; returns milliseconds. */
export function parseDuration(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([smhdw])$/.exec(text) ?? []
  const milliseconds = Number(digits) * (units[unit] ?? Number.NaN)
  if (Number.isSafeInteger(milliseconds)) return milliseconds
  throw new OnefoldError(
    'USAGE',
    `Cannot read duration ${JSON.stringify(text)}: expected a number and a unit: s, m, h, d or w`,
    { hint: 'For example 12h, or 7d.' },
  )
}
