import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { SecureContext } from 'node:tls'
import { OnefoldError, errnoOf } from '../../error.ts'
import { attempt } from '../local/file-set.ts'

/**
 * Places of certificates for one host, where docker and podman look too:
 *
 *     FOLDER/HOST[:PORT]/*.crt          authorities, trusted besides the usual ones
 *     FOLDER/HOST[:PORT]/NAME.cert      our own certificate …
 *     FOLDER/HOST[:PORT]/NAME.key       … and its key, for registries that ask for one
 */
export interface TlsFiles {
  readonly host: string
  readonly caFile?: string | undefined
  readonly certificateFolders?: readonly string[] | undefined
  /** Trusts the authorities of the operating system as well. */
  readonly system: boolean
}

const folders = ['/etc/containers/certs.d', '/etc/docker/certs.d']

export async function tlsContext(files: TlsFiles): Promise<SecureContext> {
  const tls = await import('node:tls')
  const found = await hostFiles(files)
  const extra = [...(files.caFile === undefined ? [] : [await readPem(files.caFile)]), ...found.authorities]
  // Naming authorities replaces Node's own list, so it is named as well.
  const own = extra.length > 0 || files.system ? tls.getCACertificates('default') : []
  const system = files.system ? tls.getCACertificates('system') : []
  const ca = own.length === 0 ? {} : { ca: [...new Set([...own, ...system]), ...extra] }
  try {
    return tls.createSecureContext({ ...ca, ...found.pair })
  } catch (cause) {
    const what = files.caFile === undefined ? `certificates for ${files.host}` : JSON.stringify(files.caFile)
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot use ${what}: expected PEM, ${errnoOf(cause) ?? 'found something else'}`,
      {
        cause,
      },
    )
  }
}

async function hostFiles(files: TlsFiles): Promise<{ authorities: string[]; pair: { cert?: string; key?: string } }> {
  for (const folder of files.certificateFolders ?? folders) {
    const path = join(folder, files.host)
    const names = (await readdir(path).catch((): string[] => [])).toSorted(compareText)
    if (names.length === 0) continue
    const authorities = await Promise.all(
      names.filter((name) => name.endsWith('.crt')).map((name) => readPem(join(path, name))),
    )
    const own = names.find((name) => name.endsWith('.cert') && names.includes(name.replace(/cert$/, 'key')))
    if (own === undefined) return { authorities, pair: {} }
    const [cert, key] = [await readPem(join(path, own)), await readPem(join(path, own.replace(/cert$/, 'key')))]
    return { authorities, pair: { cert, key } }
  }
  return { authorities: [], pair: {} }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

async function readPem(path: string): Promise<string> {
  const text = (await attempt(path, () => readFile(path))).toString('latin1')
  if (text.includes('-----BEGIN ')) return text
  throw new OnefoldError('BAD_FORMAT', `Cannot use certificate ${JSON.stringify(path)}: expected PEM, found none in it`)
}
