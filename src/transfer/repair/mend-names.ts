import type { Digest } from '../../digest.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Source } from '../../sources/source.ts'
import type { Damage } from '../../store/store.ts'
import { pull } from '../pull/pull.ts'
import type { RepairJob } from './repair-job.ts'
import { isPlace, looksLikeSource } from './repair-origins.ts'

/** Mends names first, then the documents that they lead to, then what is still missing below them. */
export async function mendNames(job: RepairJob, damage: readonly Damage[]): Promise<void> {
  const { signal } = job.options
  for (const { kind, name, file, state } of damage) {
    if (kind !== 'ref' || state !== 'broken') continue
    const top = job.inventory.topOf(name, file)
    if (top === undefined) await pullAgain(job, name, job.refOf(name))
    else await job.try(name, () => job.mender.replaceRef(name, top, signal))
  }
  job.takeStock()
  for (const { kind, name, state, quarantined } of damage) {
    if (kind !== 'blob' || state !== 'broken' || quarantined !== undefined) continue
    const descriptor = job.inventory.descriptor(name as Digest)
    if (descriptor !== undefined) await fetchDocument(job, descriptor)
  }
  for (const { kind, name, state } of damage)
    if (kind === 'ref' && state === 'untrue') await pullAgain(job, name, job.refOf(name))
}

/** Fetches an index: the names that lead to it, and those of any image, are places that may have it. */
async function fetchDocument(job: RepairJob, descriptor: Descriptor): Promise<void> {
  const { signal } = job.options
  const known = [...job.inventory.records.values()].map(({ origin }) => origin.source)
  await job.fromAny(
    descriptor.digest,
    job.origins.namesOf([...job.namesOf(descriptor.digest), ...known]),
    async (origin) => {
      const source = await job.origins.source(origin, undefined)
      await job.mender.replaceBlob(descriptor.digest, await source.fetch(descriptor, { signal }), signal)
    },
  )
}

/**
 * Pulls a name that leads to nothing: what it stood for, as if for the first time. When the ref cannot be read, that is
 * what its origin has under that name now, if images came from there.
 */
async function pullAgain(job: RepairJob, name: string, top: Descriptor | undefined): Promise<void> {
  const { signal } = job.options
  const pulled = [...job.inventory.records.values()].filter(({ origin }) => origin.source === name)
  if (top === undefined && pulled.length === 0 && !isPlace(name))
    return job.failed(name, 'nothing tells what it stood for; give it again with pull or tag')
  const platforms = new Map(pulled.map(({ platform }) => [formatPlatform(platform), platform]))
  await job.fromAny(name, job.origins.namesOf(looksLikeSource(name) ? [name] : []), async (origin) => {
    const source = await job.origins.source(origin, undefined)
    const pinned: Source =
      top === undefined
        ? source
        : { ...source, resolve: async () => ({ descriptor: top, bytes: await source.fetch(top, { signal }) }) }
    for (const platform of platforms.size === 0 ? [undefined] : platforms.values())
      await pull(job.store, pinned, { ...job.pullOptions, name, ...(platform && { platform }) })
  })
}
