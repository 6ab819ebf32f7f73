import { OnefoldError } from '../../error.ts'
import { fileFormatNames } from '../../formats/all.ts'
import { type Reference, parseReference } from '../registry/reference.ts'

/** A place that something goes to, written as for skopeo. */
export type Destination =
  | { readonly transport: 'docker'; readonly reference: Reference }
  | { readonly transport: 'oci' | 'oci-archive'; readonly path: string; readonly image: string | undefined }
  | { readonly transport: 'docker-archive'; readonly path: string; readonly reference: Reference | undefined }
  /** The path `-` is standard output. */
  | { readonly transport: 'tar'; readonly path: string }
  /** A file that is an image by itself, in a format of that name. */
  | { readonly transport: 'format'; readonly format: string; readonly path: string }

const examples = [
  'oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], tar:FILE, tar:-',
  ...fileFormatNames.map((name) => `${name}:FILE`),
].join(', ')

/** Reads a destination. The path ends at the first colon where a name may follow. */
export function parseDestination(text: string): Destination {
  const colon = text.indexOf(':')
  const transport = text.slice(0, Math.max(0, colon))
  const rest = text.slice(colon + 1)
  switch (transport) {
    case 'oci':
    case 'oci-archive': {
      const [path, image] = split(text, rest)
      return { transport, path, image }
    }
    case 'docker-archive': {
      const [path, name] = split(text, rest)
      return { transport, path, reference: name === undefined ? undefined : taggedReference(text, name) }
    }
    case 'tar':
      return { transport, path: needPath(text, rest) }
    case 'docker':
      if (rest.startsWith('//')) return { transport, reference: parseReference(rest.slice(2)) }
      throw bad(text, 'a registry is written with two slashes', `Did you mean ${JSON.stringify(`docker://${rest}`)}?`)
    default:
      if (fileFormatNames.includes(transport))
        return { transport: 'format', format: transport, path: needPath(text, rest) }
      throw bad(text, 'expected one with a transport', `Known are ${examples}.`)
  }
}

function split(text: string, rest: string): [path: string, name: string | undefined] {
  const colon = rest.indexOf(':')
  if (colon < 0) return [needPath(text, rest), undefined]
  const name = rest.slice(colon + 1)
  if (name === '') throw bad(text, 'the name after the last colon is empty')
  return [needPath(text, rest.slice(0, colon)), name]
}

function taggedReference(text: string, name: string): Reference {
  const reference = parseReference(name)
  if (reference.digest !== undefined) throw bad(text, 'a docker-archive holds tags, not digests')
  return reference
}

function needPath(text: string, path: string): string {
  if (path === '') throw bad(text, 'the path is empty')
  if (path.includes('\0')) throw bad(text, 'the path has a NUL byte')
  return path
}

function bad(text: string, found: string, hint?: string): OnefoldError {
  const message = `Cannot write to ${JSON.stringify(text.slice(0, 200))}: ${found}`
  return new OnefoldError('BAD_NAME', message, hint === undefined ? {} : { hint })
}
