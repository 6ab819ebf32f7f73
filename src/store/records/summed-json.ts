/**
 * JSON that carries a sum of itself, for the files that are not named by what they hold: a flipped bit in a name or a
 * place where something was pulled from would look like another name or place.
 *
 *     {
 *       …,
 *       "sum": "<sha256, in hex, of all bytes before the comma in front of this line>"
 *     }
 */
import { hash } from 'node:crypto'
import { OnefoldError } from '../../error.ts'

const tail = /^,\n {2}"sum": "([0-9a-f]{64})"\n\}\n$/
const tailBytes = 80

/** Writes the same bytes for the same value; indented, as the files are looked into when something is wrong. */
export function summedJson(value: object): Uint8Array {
  const body = JSON.stringify(value, undefined, 2).slice(0, -'\n}'.length)
  return Buffer.from(`${body},\n  "sum": "${hash('sha256', body)}"\n}\n`)
}

/** Throws CORRUPT when there is a sum and it is that of other bytes. */
export function checkSum(bytes: Uint8Array, what: string): void {
  const sum = sumOf(bytes)
  if (sum === undefined) return
  const got = hash('sha256', bytes.subarray(0, bytes.length - tailBytes))
  if (got !== sum)
    throw new OnefoldError('CORRUPT', `Cannot read ${what}: it has the sum ${sum}, its bytes hash to ${got}`)
}

/** Whether there is a sum. Files without one are read all the same: fsck tells that they may be damaged. */
export function hasSum(bytes: Uint8Array): boolean {
  return sumOf(bytes) !== undefined
}

function sumOf(bytes: Uint8Array): string | undefined {
  if (bytes.length < tailBytes) return undefined
  const end = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', bytes.length - tailBytes)
  return tail.exec(end)?.[1]
}
