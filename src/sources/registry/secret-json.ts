import { type OnefoldError, hasCode } from '../../error.ts'
import { type JsonMembers, isJsonObject, parseJson } from '../../formats/json.ts'

/**
 * Reads a JSON object with a secret in it. No error may quote any of it, which the parser's own does, and `Fields`
 * would; so callers look at the members themselves. `what` begins the sentence that `fail` is given.
 */
export function parseSecret(bytes: Uint8Array, what: string, fail: (found: string) => OnefoldError): JsonMembers {
  const value = parsed(bytes, what, fail)
  if (isJsonObject(value)) return value
  throw fail(`${what} is no JSON object`)
}

function parsed(bytes: Uint8Array, what: string, fail: (found: string) => OnefoldError): unknown {
  try {
    return parseJson(bytes, what)
  } catch (error) {
    if (hasCode(error, 'LIMIT')) throw fail(`${what} is too large`)
    throw fail(`${what} is no JSON`)
  }
}
