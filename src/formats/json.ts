import { isUtf8 } from 'node:buffer'
import { OnefoldError } from '../error.ts'

/** Limits on documents from outside. All are far above what images have and far below what hurts. */
export interface JsonLimits {
  /** Size of the whole document, in bytes. */
  readonly bytes: number
  /** Depth of nested arrays and objects. */
  readonly depth: number
  /**
   * Number of values of all kinds together. Each takes memory, also where two bytes stand for it, as in a list of empty
   * objects.
   */
  readonly values: number
}

/**
 * Limits for documents from registries: 4 MiB is the least that the distribution spec wants registries to accept, and
 * so the most that travels everywhere.
 */
export const jsonLimits: JsonLimits = { bytes: 4 * 1024 * 1024, depth: 64, values: 250_000 }

/** Most members of one array or object: layers, manifests, annotations, variables. */
export const membersMax = 10_000

/** JSON object as parsed. Keys such as `__proto__` are plain own properties of it; read it with `Fields` only. */
export type JsonMembers = Readonly<Record<string, unknown>>

/** Reads a document that must be one JSON object in UTF-8. `what` names it in errors: `manifest sha256:…`. */
export function readJson(bytes: Uint8Array, what: string, limits: JsonLimits = jsonLimits): Fields {
  return fieldsOf(parseJson(bytes, what, limits), what, 'the document')
}

/** Reads a document that must be one JSON list of objects. */
export function readJsonList(bytes: Uint8Array, what: string, limits: JsonLimits = jsonLimits): Fields[] {
  return new Fields({ list: parseJson(bytes, what, limits) }, what, 'the document').objects('list') ?? []
}

/**
 * Parses a document of any shape within its limits, for callers that cannot use `Fields`: nothing in the result can be
 * relied on.
 */
export function parseJson(bytes: Uint8Array, what: string, limits: JsonLimits = jsonLimits): unknown {
  if (bytes.length > limits.bytes)
    throw new OnefoldError(
      'LIMIT',
      `Cannot read ${what}: it has ${bytes.length} bytes, at most ${limits.bytes} are read`,
    )
  if (!isUtf8(bytes)) throw new OnefoldError('BAD_FORMAT', `Cannot read ${what}: it is not UTF-8`)
  checkExtent(bytes, what, limits)
  return parse(bytes, what)
}

/**
 * One JSON object whose members are taken by name and type. `null` means absent, as in the documents Go programs
 * write (they print empty lists that way). Anything of another type is BAD_FORMAT, with the path of the member.
 */
export class Fields {
  readonly #members: JsonMembers
  readonly #what: string
  readonly #at: string

  constructor(members: JsonMembers, what: string, at: string) {
    this.#members = members
    this.#what = what
    this.#at = at
  }

  has(name: string): boolean {
    return this.#get(name) !== undefined
  }

  string(name: string): string | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.bad(name, 'a string')
  }

  /** Returns a string that must be there. */
  text(name: string): string {
    return this.string(name) ?? this.#absent(name)
  }

  boolean(name: string): boolean | undefined {
    const value = this.#get(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.bad(name, 'true or false')
  }

  /** Returns a count or size that must be there: 0 … 2^53−1. */
  size(name: string): number {
    const value = this.#get(name)
    if (value === undefined) return this.#absent(name)
    if (isSize(value)) return value
    throw this.bad(name, 'a whole number from 0 to 2^53-1')
  }

  object(name: string): Fields | undefined {
    const value = this.#get(name)
    return value === undefined ? undefined : fieldsOf(value, this.#what, this.path(name))
  }

  /** Returns a list, of at most `membersMax` members unless the caller is ready for more. */
  list(name: string, max = membersMax): readonly unknown[] | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) throw this.bad(name, 'a list')
    return this.#counted(name, value, max)
  }

  objects(name: string): Fields[] | undefined {
    return this.list(name)?.map((item, i) => fieldsOf(item, this.#what, `${this.path(name)}[${i}]`))
  }

  strings(name: string): string[] | undefined {
    return this.list(name)?.map((item, i) => {
      if (typeof item !== 'string') throw this.bad(`${name}[${i}]`, 'a string')
      return item
    })
  }

  /** Returns an object of strings, such as annotations; its own prototype is null, so every key is data. */
  map(name: string): Record<string, string> | undefined {
    const keys = this.keys(name)
    const members = this.object(name)
    if (keys === undefined || members === undefined) return undefined
    const map: Record<string, string> = Object.create(null)
    for (const key of keys) map[key] = members.string(key) ?? ''
    return map
  }

  /** Returns the names in an object that is used as a set, in byte order. */
  keys(name: string): string[] | undefined {
    const value = this.#get(name)
    if (value === undefined) return undefined
    return this.#counted(name, Object.keys(fieldsOf(value, this.#what, this.path(name)).#members)).toSorted()
  }

  /** Returns the path of a member for an error: `layers[2].digest`. */
  path(name: string): string {
    return this.#at === 'the document' ? name : `${this.#at}.${name}`
  }

  bad(name: string, expected: string, cause?: unknown): OnefoldError {
    const message = `Cannot read ${this.#what}: ${this.path(name)} is ${brief(this.#get(name))}, expected ${expected}`
    return new OnefoldError('BAD_FORMAT', message, cause === undefined ? {} : { cause })
  }

  #get(name: string): unknown {
    // Own members only: every object inherits a "constructor".
    return Object.hasOwn(this.#members, name) ? (this.#members[name] ?? undefined) : undefined
  }

  #absent(name: string): never {
    throw new OnefoldError('BAD_FORMAT', `Cannot read ${this.#what}: ${this.path(name)} is missing`)
  }

  #counted<T>(name: string, list: readonly T[], max = membersMax): readonly T[] {
    if (list.length <= max) return list
    const message = `Cannot read ${this.#what}: ${this.path(name)} has ${list.length} members, at most ${max} are read`
    throw new OnefoldError('LIMIT', message)
  }
}

function fieldsOf(value: unknown, what: string, at: string): Fields {
  if (isJsonObject(value)) return new Fields(value, what, at)
  throw new OnefoldError('BAD_FORMAT', `Cannot read ${what}: ${at} is ${brief(value)}, expected an object`)
}

export function isJsonObject(value: unknown): value is JsonMembers {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Tells whether a value is a count or a size: 0 … 2^53−1. -0 is none, since it would not be written back as it was
 * read.
 */
export function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0)
}

function parse(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString())
  } catch (cause) {
    throw new OnefoldError('BAD_FORMAT', `Cannot read ${what}: it is not JSON`, { cause })
  }
}

/**
 * Counts nesting and values before anything is built of them: code that reads or prints a value later may recurse, and
 * 150 MB of `{},{},…`, which compress to nearly nothing, become gigabytes. Every value but the first stands behind a
 * comma or an opening bracket. A document that is not JSON may be miscounted, but only from where the parser stops.
 */
function checkExtent(bytes: Uint8Array, what: string, limits: JsonLimits): void {
  // A value takes a byte, and what parts it from the next another: what is this short cannot be too much.
  if (bytes.length <= limits.depth && bytes.length / 2 <= limits.values) return
  let depth = 0
  let values = 1
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === 0x22) i = endOfString(bytes, i + 1)
    else if (byte === 0x2c) values++
    else if (byte === 0x5b || byte === 0x7b) {
      values++
      if (++depth > limits.depth) throw tooMuch(what, `is nested deeper than ${limits.depth} levels`)
    } else if (byte === 0x5d || byte === 0x7d) depth--
  }
  if (values > limits.values) throw tooMuch(what, `has more than ${limits.values} values`)
}

function tooMuch(what: string, found: string): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot read ${what}: it ${found}`)
}

/** Returns the index of the closing quote of a string that starts at `i`, or the end of the bytes. */
function endOfString(bytes: Uint8Array, i: number): number {
  while (i < bytes.length && bytes[i] !== 0x22) i += bytes[i] === 0x5c ? 2 : 1
  return i
}

/** Shows a value, short enough for a message; an attacker chose it. */
function brief(value: unknown): string {
  if (value === undefined) return 'missing'
  if (typeof value !== 'object') return JSON.stringify(typeof value === 'string' ? value.slice(0, 100) : value)
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : 'an object'
}
