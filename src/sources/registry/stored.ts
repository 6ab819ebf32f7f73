import { type Digest, algorithmOf } from '../../digest.ts'
import type { Response } from './transport.ts'

/** What a registry says that it has (Docker-Content-Digest), where that is not `digest`; one that says nothing is believed. */
export function otherDigest({ headers }: Response, digest: Digest): string | undefined {
  const told = headers['docker-content-digest']
  if (typeof told !== 'string' || !told.startsWith(`${algorithmOf(digest)}:`) || told === digest) return undefined
  return told.slice(0, 80).replace(/[^\x20-\x7e]/g, ' ')
}
