import { type Digest, algorithmOf } from '../../digest.ts'
import type { Response } from './transport.ts'

/**
 * Returns the digest that a registry reports to have (Docker-Content-Digest), where that is not `digest`; a registry
 * that reports none is believed.
 */
export function otherDigest({ headers }: Response, digest: Digest): string | undefined {
  const reported = headers['docker-content-digest']
  if (typeof reported !== 'string' || !reported.startsWith(`${algorithmOf(digest)}:`) || reported === digest)
    return undefined
  return reported.slice(0, 80).replace(/[^\x20-\x7e]/g, ' ')
}
