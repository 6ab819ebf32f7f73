/**
 * Way to authorize that a 401 offers (RFC 9110, 11.6.1). Several stand in one header, split by the same commas as their
 * parameters, and the quoted values have commas of their own:
 *
 *     Bearer realm="https://auth.example/token",scope="repository:a/b:pull,push", Basic realm="x"
 */
export interface Challenge {
  /** Name in lower case: `bearer`, `basic`, … */
  readonly scheme: string
  /** Parameters with names in lower case; of two equal ones the first counts. */
  readonly parameters: ReadonlyMap<string, string>
}

const separators = /[\s,]*/y
const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const equals = /[ \t]*=[ \t]*/y
const quoted = /"((?:[^"\\]|\\[^])*)"/y
const bareValue = /[^\s,"]*/y
const token68 = /[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y

/**
 * Parses the challenges of a WWW-Authenticate header, in its order. Text that cannot be read ends the list; it never
 * throws.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match !== null) at += match[0].length
    return match ?? undefined
  }
  for (;;) {
    take(separators)
    const word = take(token)?.[0].toLowerCase()
    if (word === undefined) return challenges
    if (take(equals) === undefined) {
      challenges.push({ scheme: word, parameters: new Map() })
      take(token68)
      continue
    }
    const value = take(quoted)?.[1]?.replace(/\\([^])/g, '$1') ?? take(bareValue)?.[0] ?? ''
    const parameters = challenges.at(-1)?.parameters
    if (parameters?.has(word) === false) parameters.set(word, value)
  }
}
