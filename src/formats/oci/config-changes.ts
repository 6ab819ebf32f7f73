import { OnefoldError } from '../../error.ts'
import { parseJson } from '../json.ts'

/**
 * Change of a config by an instruction of a Dockerfile, as `podman commit --change` and `docker import --change` take
 * them: `CMD ["a", "b"]`, `ENV NAME=value …`, also with `=` after the instruction. No variable is replaced.
 */
export type ConfigChange =
  | { readonly set: 'Cmd' | 'Entrypoint' | 'Shell'; readonly to: readonly string[] }
  | { readonly set: 'User' | 'WorkingDir' | 'StopSignal'; readonly to: string }
  | { readonly add: 'Volumes' | 'ExposedPorts' | 'OnBuild'; readonly names: readonly string[] }
  | { readonly add: 'Env' | 'Labels'; readonly pairs: readonly (readonly [name: string, value: string])[] }

const known = 'CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR'

/** Parses an instruction. Throws USAGE for what is none of them. */
export function parseChange(text: string): ConfigChange {
  const [, instruction = '', rest = ''] = /^\s*([A-Za-z]+)(?:\s+|\s*=)([^]*)$/.exec(text) ?? []
  const value = rest.trim()
  switch (instruction.toUpperCase()) {
    case 'CMD':
      return { set: 'Cmd', to: commandOf(value) }
    case 'ENTRYPOINT':
      return { set: 'Entrypoint', to: commandOf(value) }
    case 'SHELL':
      return { set: 'Shell', to: jsonList(value) ?? fail(text, 'SHELL takes a list in JSON') }
    case 'USER':
      return { set: 'User', to: value }
    case 'WORKDIR':
      if (!value.startsWith('/')) fail(text, 'a working directory is an absolute path')
      return { set: 'WorkingDir', to: value }
    case 'STOPSIGNAL':
      if (!/^(?:\d{1,2}|[A-Z][A-Z0-9+-]*)$/.test(value)) fail(text, 'it names no signal')
      return { set: 'StopSignal', to: value }
    case 'VOLUME':
      return { add: 'Volumes', names: nonEmpty(text, jsonList(value) ?? words(text, value)) }
    case 'EXPOSE':
      return { add: 'ExposedPorts', names: nonEmpty(text, words(text, value)).flatMap((port) => portsOf(text, port)) }
    case 'ONBUILD':
      return { add: 'OnBuild', names: [value === '' ? fail(text, 'it is empty') : value] }
    case 'ENV':
      return { add: 'Env', pairs: pairsOf(text, value) }
    case 'LABEL':
      return { add: 'Labels', pairs: pairsOf(text, value) }
    default:
      return fail(text, `known are ${known}`)
  }
}

/** Parses a command: a list in JSON is taken as it is; anything else is a line for the shell. */
function commandOf(value: string): readonly string[] {
  if (value === '') return []
  return jsonList(value) ?? ['/bin/sh', '-c', value]
}

function jsonList(value: string): string[] | undefined {
  if (!value.startsWith('[')) return undefined
  try {
    const list = parseJson(Buffer.from(value), 'a list')
    return Array.isArray(list) && list.every((each) => typeof each === 'string') ? list : undefined
  } catch {
    return undefined
  }
}

/** Parses `A=1 B="two words"`, or the old form `A two words`. */
function pairsOf(text: string, value: string): [string, string][] {
  const [, name = '', old = ''] = /^([^\s="']+)\s+([^]+)$/.exec(value) ?? []
  if (name !== '') return [[name, unquoted(old)]]
  return nonEmpty(text, words(text, value)).map((word) => {
    const at = word.indexOf('=')
    if (at <= 0) fail(text, `${JSON.stringify(word)} is no NAME=VALUE`)
    return [word.slice(0, at), word.slice(at + 1)]
  })
}

/** Splits a text at blanks outside of quotes; quotes and backslashes are taken away. */
function words(text: string, value: string): string[] {
  const found = value.match(/(?:"(?:\\[^]|[^"\\])*"|'[^']*'|\\[^]|[^\s"'\\])+/g) ?? []
  if (found.join('').length !== value.replaceAll(/\s/g, '').length + blanksIn(found))
    fail(text, 'a quote is not closed')
  return found.map(unquoted)
}

function blanksIn(parts: readonly string[]): number {
  return parts.reduce((sum, part) => sum + (part.match(/\s/g)?.length ?? 0), 0)
}

function unquoted(word: string): string {
  return word.replaceAll(
    /"((?:\\[^]|[^"\\])*)"|'([^']*)'|\\([^])/g,
    (_, double?: string, single?: string, plain?: string) =>
      double === undefined ? (single ?? plain ?? '') : double.replaceAll(/\\([^])/g, '$1'),
  )
}

/** Parses `80`, `53/udp`, `8000-8010/tcp`. */
function portsOf(text: string, port: string): string[] {
  const [, first = '', last = first, protocol = 'tcp'] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(port) ?? []
  const [low, high] = [Number(first), Number(last)]
  if (first === '' || low > high || high > 65_535) fail(text, `${JSON.stringify(port)} is no port`)
  return Array.from({ length: high - low + 1 }, (_, i) => `${low + i}/${protocol.toLowerCase()}`)
}

function nonEmpty(text: string, names: string[]): string[] {
  return names.length > 0 ? names : fail(text, 'nothing follows')
}

function fail(text: string, found: string): never {
  throw new OnefoldError('USAGE', `Cannot apply change ${JSON.stringify(text.slice(0, 200))}: ${found}`)
}
