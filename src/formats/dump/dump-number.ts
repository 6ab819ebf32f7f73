/**
 * Parser of numbers in a dump: digits, or for `compat` whatever strtoull takes, cut to the width the field is stored
 * in.
 */

export type NumberField = 'size' | 'octal' | 'id' | 'seconds' | 'nanoseconds'

const plain: Readonly<Record<NumberField, RegExp>> = {
  size: /^[0-9]+$/,
  octal: /^[0-7]+$/,
  id: /^[0-9]+$/,
  seconds: /^-?[0-9]+$/,
  nanoseconds: /^[0-9]+$/,
}
const most: Readonly<Record<NumberField, bigint>> = {
  size: 2n ** 53n,
  octal: 0xffffffffn,
  id: 0xffffffffn,
  seconds: 2n ** 53n - 1n,
  nanoseconds: 999_999_999n,
}

/** Parses a number; undefined when the text is none, or one that a JavaScript number cannot hold. */
export function parseNumber(text: string, field: NumberField, compat: boolean): number | undefined {
  // Longer than any width in any base: not worth a bigint of a hostile length.
  if (text.length > 64) return undefined
  if (!compat) return plain[field].test(text) ? within(toBigInt(text, field), most[field]) : undefined
  const match = /^[\t-\r ]*([+-]?)([0-9]+)$/.exec(text)
  if (match === null || (field === 'octal' && /[89]/.test(text))) return undefined
  const [, sign, digits] = match
  return stored(saturated(toBigInt(digits ?? '', field), sign === '-', field), field)
}

function toBigInt(text: string, field: NumberField): bigint {
  if (field === 'octal') return BigInt(`0o${text}`)
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text)
}

function within(value: bigint, limit: bigint): number | undefined {
  return value <= limit && value >= -limit ? Number(value) : undefined
}

function saturated(magnitude: bigint, negative: boolean, field: NumberField): bigint {
  const limit = field === 'seconds' ? 2n ** 63n - 1n : 2n ** 64n - 1n
  const value = magnitude > limit ? limit : magnitude
  return negative && (field === 'seconds' || magnitude <= limit) ? -value : value
}

function stored(value: bigint, field: NumberField): number | undefined {
  if (field === 'seconds') return within(value, most.seconds)
  const width = field === 'size' ? 64 : 32
  const cut = BigInt.asUintN(width, BigInt.asUintN(64, value))
  // A size beyond 2^53 stays too large for any file when it is rounded; only devices, where it means nothing, get away with one.
  return Number(cut)
}
