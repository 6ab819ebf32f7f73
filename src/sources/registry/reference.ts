import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'

/**
 * Image in a registry, `HOST[:PORT]/NAME[:TAG][@DIGEST]` in the grammar of docker/distribution:
 *
 *     localhost:5000/team/app:1.2@sha256:0123…
 *     └─── host ───┘ └ name ┘ └tag┘ └─ digest ─┘
 *
 * The part before the first slash is a host when it has a dot, a colon or a bracket or is `localhost`; otherwise the
 * whole is a name on docker.io, and one without any slash lies under `library/` there.
 */
export interface Reference {
  /** Host in lower case, port included, brackets kept: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly host: string
  readonly repository: string
  /** Tag; undefined only when there is a digest. With both, the digest decides and the tag is for people. */
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

/** Limit on `HOST/NAME`, as the distribution spec advises, in characters. */
export const nameMax = 255
export const tagMax = 128

const nameSyntax = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/
const tagSyntax = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/
const hostSyntax = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/
const labelSyntax = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/

/** Reads a reference; short names become docker.io's, and the tag of one without tag and digest is `latest`. */
export function parseReference(text: string): Reference {
  // Longest legal text: name, tag, sha512 digest. Anything above is refused before a pattern looks at it.
  if (text.length > nameMax + tagMax + 160) throw bad(text, `it has ${text.length} characters`)
  const [beforeDigest, digest] = splitDigest(text)
  const [name, tag] = splitTag(text, beforeDigest)
  const [written, repository] = splitHost(text, name)
  const host = checkHost(text, written)
  checkRepository(text, host, repository)
  return { host, repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}

/**
 * Returns the full form: host, repository, and tag and digest as far as they are there. `parseReference` gives it back.
 */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${reference.host}/${reference.repository}${tag}${digest}`
}

/** Returns the host that serves a registry: Docker Hub's name is not its API's host. */
export function transportHost(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host
}

/** Tells whether a host (with or without port) can only be this machine: 127.0.0.0/8, ::1, localhost. */
export function isLoopback(host: string): boolean {
  const bare = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '')
  if (bare === 'localhost' || bare === '::1') return true
  return /^127(?:\.\d{1,3}){3}$/.test(bare) && bare.split('.').every((part) => Number(part) <= 255)
}

function splitDigest(text: string): [rest: string, digest: Digest | undefined] {
  const at = text.indexOf('@')
  if (at < 0) return [text, undefined]
  const digest = text.slice(at + 1)
  if (!isDigest(digest))
    throw bad(text, 'what follows "@" is no digest', 'A digest is sha256: and 64 lower-case hex digits.')
  return [text.slice(0, at), digest]
}

/**
 * Splits off the tag: a colon after the last slash starts one, unless there is no slash and the rest can only be a
 * port.
 */
function splitTag(text: string, rest: string): [name: string, tag: string | undefined] {
  const slash = rest.lastIndexOf('/')
  const colon = rest.indexOf(':', slash + 1)
  if (colon < 0) return [rest, undefined]
  const tag = rest.slice(colon + 1)
  if (tag.length > tagMax) throw bad(text, `its tag has ${tag.length} characters, at most ${tagMax} are allowed`)
  if (!tagSyntax.test(tag))
    throw bad(
      text,
      `${quote(tag)} is no tag`,
      'A tag has letters, digits, "_", "." and "-", and starts with none of the last two.',
    )
  return [rest.slice(0, colon), tag]
}

function splitHost(text: string, name: string): [host: string, repository: string] {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  if (first === 'localhost' || /[.:[]/.test(first)) return namedHost(first.toLowerCase(), name.slice(slash + 1))
  // The store's own names for images: on Docker Hub they cannot exist.
  if (/^[0-9a-f]{64}$/.test(name))
    throw bad(text, 'it is a bare digest', 'Put a repository and "@sha256:" before the digest.')
  return ['docker.io', slash < 0 ? `library/${name}` : name]
}

function namedHost(host: string, repository: string): [host: string, repository: string] {
  const hub = host === 'docker.io' || host === 'index.docker.io' || host === 'registry-1.docker.io'
  if (!hub) return [host, repository]
  return ['docker.io', repository.includes('/') || repository === '' ? repository : `library/${repository}`]
}

/**
 * Returns the host as URLs write it. A name that they take for another spelling of an IPv4 address (`127.1`) is none.
 */
function checkHost(text: string, host: string): string {
  const [, name, port] = hostSyntax.exec(host) ?? []
  const labels = name?.startsWith('[') === false ? name.split('.') : []
  const url = URL.parse(`http://${name}/`)
  if (name === undefined || url === null || !labels.every((label) => label.length <= 63 && labelSyntax.test(label)))
    throw bad(text, `${quote(host)} is no host`)
  if (labels.length > 0 && url.hostname !== name)
    throw bad(text, `${quote(host)} is no host`, `Did you mean ${quote(url.hostname)}?`)
  if (port === undefined) return url.hostname
  if (Number(port) > 65535 || Number(port) === 0) throw bad(text, `there is no port ${port}`)
  return `${url.hostname}:${Number(port)}`
}

function checkRepository(text: string, host: string, repository: string): void {
  const length = host.length + 1 + repository.length
  if (length > nameMax) throw bad(text, `host and name have ${length} characters, at most ${nameMax} are allowed`)
  if (nameSyntax.test(repository)) return
  if (repository === '' || repository === 'library/') throw bad(text, 'the name is missing')
  if (nameSyntax.test(repository.toLowerCase()))
    throw bad(text, 'names in a registry are lower case', `Did you mean ${quote(text.toLowerCase())}?`)
  throw bad(
    text,
    `${quote(repository)} is no repository name`,
    'A name has lower-case letters and digits, joined by one of "." "_" "__" "-" and split by "/".',
  )
}

function bad(text: string, found: string, hint?: string): OnefoldError {
  const message = `Cannot read image reference ${quote(text)}: ${found}; expected [HOST[:PORT]/]NAME[:TAG][@DIGEST]`
  return new OnefoldError('BAD_NAME', message, hint === undefined ? {} : { hint })
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
}
