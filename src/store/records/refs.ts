import { randomUUID } from 'node:crypto'
import { readdirSync, unlinkSync } from 'node:fs'
import type { Digest } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { type Descriptor, descriptorValue, readDescriptor } from '../../formats/oci/descriptor.ts'
import { readJson } from '../../formats/json.ts'
import { fileError, readWhole, replaceFile, syncFolder } from '../store-files.ts'
import { tmpFolder } from '../store-layout.ts'
import { checkSum, summedJson } from './summed-json.ts'

/**
 * `refs/<percent-encoded name>`: the descriptor of the manifest or index that the name stands for. Every byte of the
 * name's UTF-8 but `A–Z a–z 0–9 _ - . : @ + =` is `%` and two upper-case hex digits; so is a leading dot. One name has
 * one spelling, so a file under any other is not a ref. The JSON has a sum, see summed-json.ts.
 */

const descriptorMax = 1024 * 1024
/** NAME_MAX of Linux. */
const fileNameMax = 255

/** The file name of a ref. Throws BAD_NAME for what no image can be called. */
export function encodeRef(name: string): string {
  if (name === '') throw new OnefoldError('BAD_NAME', 'Cannot name an image "": the name is empty')
  if (!name.isWellFormed() || /\p{Cc}/u.test(name)) throw badName(name, 'it holds control characters')
  const encoded = Buffer.from(name).reduce((text, byte) => text + encodeByte(byte, text === ''), '')
  if (encoded.length > fileNameMax)
    throw badName(name, `encoded as a file name it has ${encoded.length} bytes, at most ${fileNameMax} are possible`)
  return encoded
}

/** The name that a file of `refs/` stands for, or undefined when it is no ref. */
export function decodeRef(fileName: string): string | undefined {
  try {
    const name = decodeURIComponent(fileName)
    return encodeRef(name) === fileName ? name : undefined
  } catch {
    return undefined
  }
}

function encodeByte(byte: number, isFirst: boolean): string {
  const char = String.fromCharCode(byte)
  const isPlain = /[A-Za-z0-9_.:@+=-]/.test(char) && !(isFirst && char === '.')
  return isPlain ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

function badName(name: string, why: string): OnefoldError {
  return new OnefoldError('BAD_NAME', `Cannot name an image ${JSON.stringify(name.slice(0, 300))}: ${why}`, {
    hint: 'Choose another name; for pull with --name.',
  })
}

export function formatRef(descriptor: Descriptor): Uint8Array {
  return summedJson(descriptorValue(descriptor))
}

export function parseRef(bytes: Uint8Array, name: string): Descriptor {
  const what = `ref ${JSON.stringify(name)}`
  checkSum(bytes, what)
  return readDescriptor(readJson(bytes, what, { bytes: descriptorMax, depth: 8, values: 25_000 }))
}

export function readRef(root: string, name: string): Descriptor | undefined {
  const bytes = readWhole(`${root}/refs/${encodeRef(name)}`, `ref ${JSON.stringify(name)}`, descriptorMax)
  return bytes === undefined ? undefined : parseRef(bytes, name)
}

/** All names in code unit order. */
export function listRefs(root: string): string[] {
  return listRefFiles(root)
    .map(decodeRef)
    .filter((name) => name !== undefined)
    .toSorted()
}

export function listRefFiles(root: string): string[] {
  try {
    return readdirSync(`${root}/refs`)
  } catch (error) {
    throw fileError('list refs in', root, error)
  }
}

/** A condition for setting a ref: whatever it is now, only when there is none, or only while it is still this one. */
export type RefCondition = 'any' | 'absent' | Digest

/** Throws EXISTS when the ref is not what the condition says. */
export function checkCondition(root: string, name: string, condition: RefCondition): void {
  if (condition === 'any') return
  const now = readRef(root, name)?.digest
  if (condition === 'absent' ? now === undefined : now === condition) return
  const found = now === undefined ? 'there is no such image' : `it is ${now}`
  const expected = condition === 'absent' ? 'expected none' : `expected ${condition}`
  throw new OnefoldError('EXISTS', `Cannot set image ${JSON.stringify(name)}: ${found}, ${expected}`)
}

/** Sets a ref, durably. Callers hold the store's lock, shared, so that what the ref stands for stays. */
export function writeRef(root: string, name: string, descriptor: Descriptor): void {
  const temporary = `${root}/${tmpFolder}/ref-${randomUUID()}`
  replaceFile(`${root}/refs/${encodeRef(name)}`, formatRef(descriptor), temporary)
}

/** Removes a ref, durably; returns false when there is no such ref. */
export function removeRef(root: string, name: string): boolean {
  const path = `${root}/refs/${encodeRef(name)}`
  try {
    unlinkSync(path)
    syncFolder(`${root}/refs`)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw fileError('remove ref', path, error)
  }
}
