import { type Digest, isDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { fileFormatNames } from '../formats/all.ts'
import { type Reference, parseReference } from './registry/reference.ts'

/** Name that a user wrote for an image or tree, in the transports of skopeo and two of our own for plain trees. */
export type SourceName =
  | { readonly transport: 'docker'; readonly reference: Reference }
  /** `image` is the name that the layout's index gives the image; `digest` is that of one of its manifests. */
  | {
      readonly transport: 'oci' | 'oci-archive'
      readonly path: string
      readonly image: string | undefined
      readonly digest: Digest | undefined
    }
  /** `position` counts the images of the archive from 0. */
  | {
      readonly transport: 'docker-archive'
      readonly path: string
      readonly reference: Reference | undefined
      readonly position: number | undefined
    }
  /** The path `-` of `tar` is standard input. */
  | { readonly transport: 'dir' | 'rootfs' | 'tar'; readonly path: string }
  /** File that is a whole image or layer in one of the formats. */
  | { readonly transport: 'format'; readonly format: string; readonly path: string }

export type TransportName = Exclude<SourceName['transport'], 'format'>

/** Example of every transport, in the order that help shows them. */
export const transportExamples: Readonly<Record<TransportName, string>> = {
  docker: 'docker://registry.example/app:1.2',
  oci: 'oci:DIR:1.2',
  'oci-archive': 'oci-archive:app.tar:1.2',
  'docker-archive': 'docker-archive:app.tar:app:1.2',
  dir: 'dir:DIR',
  rootfs: 'rootfs:DIR',
  tar: 'tar:tree.tar.gz',
}

/**
 * Transports of skopeo that onefold does not have; without this, `docker-daemon:x` would be looked up on Docker Hub.
 */
const foreignTransports = ['containers-storage', 'docker-daemon', 'ostree', 'sif', 'tarball', 'openshift', 'atomic']

/**
 * Parses a name. Nothing is looked up: a name without transport is one in a registry, unless it can only be a path. As
 * with skopeo, the path of `oci:`, `oci-archive:` and `docker-archive:` ends at the first colon, and that of the others
 * never.
 */
export function parseSourceName(text: string): SourceName {
  const colon = text.indexOf(':')
  const transport = colon < 0 ? '' : text.slice(0, colon)
  const rest = text.slice(colon + 1)
  switch (transport) {
    case 'docker':
      if (rest.startsWith('//')) return { transport, reference: parseReference(rest.slice(2)) }
      throw badName(text, 'a registry is written with two slashes', `Did you mean ${quote(`docker://${rest}`)}?`)
    case 'oci':
    case 'oci-archive':
      return { transport, ...splitImage(text, rest) }
    case 'docker-archive':
      return { transport, ...splitDockerReference(text, rest) }
    case 'dir':
    case 'rootfs':
    case 'tar':
      return { transport, path: needPath(text, rest) }
    default:
      if (fileFormatNames.includes(transport))
        return { transport: 'format', format: transport, path: needPath(text, rest) }
      refuseOthers(text, transport, rest)
      return { transport: 'docker', reference: parseReference(text) }
  }
}

/** Tells whether a text without transport can only be meant as a path: no reference starts like that. */
export function looksLikePath(text: string): boolean {
  return /^(?:\/|~|\.\.?(?:\/|$))/.test(text)
}

function refuseOthers(text: string, transport: string, rest: string): void {
  if (text === '') throw badName(text, 'it is empty', allTransports())
  if (/^https?:\/\/./.test(text))
    throw badName(text, 'an image is no URL', `Did you mean ${quote(rest.slice(2))}? For plain HTTP add --insecure.`)
  if (rest.startsWith('//')) throw badName(text, `there is no transport ${quote(transport)}`, allTransports())
  if (foreignTransports.includes(transport))
    throw new OnefoldError('UNSUPPORTED', `Cannot read source ${quote(text)}: ${transport}: is not one of ours`, {
      hint: `Copy the image with skopeo to an oci: layout first. ${allTransports()}`,
    })
  if (looksLikePath(text))
    throw badName(text, 'it is a path without transport', `Say what lies there: ${localExamples(text)}.`)
}

/** Splits `DIR`, `DIR:IMAGE` or `DIR@DIGEST`; an image name may hold colons and slashes of its own. */
function splitImage(
  text: string,
  rest: string,
): { path: string; image: string | undefined; digest: Digest | undefined } {
  const at = rest.lastIndexOf('@')
  const digest = at < 0 ? '' : rest.slice(at + 1)
  if (isDigest(digest)) return { path: needPath(text, rest.slice(0, at)), image: undefined, digest }
  const colon = rest.indexOf(':')
  if (colon < 0) return { path: needPath(text, rest), image: undefined, digest: undefined }
  const image = rest.slice(colon + 1)
  if (image === '') throw badName(text, 'the name after the last colon is empty')
  return { path: needPath(text, rest.slice(0, colon)), image, digest: undefined }
}

/** Splits `FILE`, `FILE:REFERENCE` or `FILE:@POSITION`. */
function splitDockerReference(
  text: string,
  rest: string,
): { path: string; reference: Reference | undefined; position: number | undefined } {
  const colon = rest.indexOf(':')
  if (colon < 0) return { path: needPath(text, rest), reference: undefined, position: undefined }
  const path = needPath(text, rest.slice(0, colon))
  const selector = rest.slice(colon + 1)
  if (!selector.startsWith('@')) return { path, reference: taggedReference(text, selector), position: undefined }
  if (!/^@\d{1,6}$/.test(selector)) throw badName(text, `${quote(selector)} is no position`, 'The first image is @0.')
  return { path, reference: undefined, position: Number(selector.slice(1)) }
}

function taggedReference(text: string, selector: string): Reference {
  const reference = parseReference(selector)
  if (reference.digest !== undefined) throw badName(text, 'a docker-archive holds tags, not digests')
  return reference
}

function needPath(text: string, path: string): string {
  if (path === '') throw badName(text, 'the path is empty')
  if (path.includes('\0')) throw badName(text, 'the path has a NUL byte')
  return path
}

function localExamples(path: string): string {
  return ['oci', 'oci-archive', 'docker-archive', 'dir', 'rootfs', 'tar'].map((name) => `${name}:${path}`).join(', ')
}

function allTransports(): string {
  const files = fileFormatNames.map((name) => `${name}:FILE`)
  return `Known are ${[...Object.values(transportExamples), ...files].join(', ')}, and registry.example/app:1.2 or a short name.`
}

function badName(text: string, found: string, hint?: string): OnefoldError {
  const message = `Cannot read source ${quote(text)}: ${found}`
  return new OnefoldError('BAD_NAME', message, hint === undefined ? {} : { hint })
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
}
