/** Times as Go writes them into JSON: RFC 3339, in the writer's time zone, with a fraction only where there is one. */
import type { Time } from '../tar/pax.ts'

const syntax = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))$/
const daySeconds = 86_400

/** Go's time.Time that was never set, which tar writers take for 1970. */
const goZero = -62_135_596_800

const epoch: Time = { seconds: 0, nanoseconds: 0 }
/** Last text and its time: neighbours in a table often have the same. */
let lastText = ''
let lastTime: Time | undefined = epoch

/** Parses a time: '' is 1970; undefined for what is no time. */
export function parseTime(text: string): Time | undefined {
  if (text !== lastText) [lastText, lastTime] = [text, text === '' ? epoch : parse(text)]
  return lastTime
}

function parse(text: string): Time | undefined {
  const match = syntax.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (hour > 23 || minute > 59 || second > 59 || day < 1 || day > daysIn(year, month)) return undefined
  const zone = match[8] === undefined ? 0 : (Number(match[9]) * 60 + Number(match[10])) * (match[8] === '-' ? -60 : 60)
  const seconds = daysSince1970(year, month, day) * daySeconds + hour * 3600 + minute * 60 + second - zone
  const nanoseconds = Number((match[7] ?? '').padEnd(9, '0'))
  return seconds === goZero && nanoseconds === 0 ? epoch : { seconds, nanoseconds }
}

/** Returns the number of days in a month; 0 for a month that is none. */
function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return [0, 31, 0, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month] ?? 0
}

/** Counts days in years that begin with March: the leap day is the last. */
function daysSince1970(year: number, month: number, day: number): number {
  const years = month > 2 ? year : year - 1
  const marchDays = Math.floor((153 * ((month + 9) % 12) + 2) / 5)
  return (
    years * 365 + Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400) + marchDays + day - 719_469
  )
}

/** Range of times that formatTime() can write, in seconds since 1970. */
export const timeRange = { first: -62_167_219_200, last: 253_402_300_799 } as const

/** Writes a time; undefined where the year does not have four digits, which RFC 3339 wants. */
export function formatTime({ seconds, nanoseconds }: Time): string | undefined {
  const date = new Date(seconds * 1000)
  const year = date.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) return undefined
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`
  return `${date.toISOString().slice(0, 19)}${fraction}Z`
}
