import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { loadLayerTypes } from '../../formats/all.ts'
import { checkLayerTypes, parseManifest } from '../../formats/oci/manifest.ts'
import type { Selected } from '../../formats/oci/select-image.ts'
import type { Damage, FsckReport } from '../../store/store.ts'
import { restore } from '../pull/pull.ts'
import type { RepairJob } from './repair-job.ts'
import { looksLikeSource, originIn } from './repair-origins.ts'

/** Returns the images that some name leads to, and that miss something. */
export function imagesToRestore(damage: readonly Damage[]): Set<Digest> {
  const images = new Set<Digest>()
  for (const { kind, name, state, affected, images: names } of damage) {
    if (kind === 'record' && names.length > 0) images.add(name as Digest)
    if (kind === 'ref' || kind === 'store' || kind === 'mount' || state === 'exposed') continue
    for (const image of affected) if (image.names.length > 0) images.add(image.manifest)
  }
  return images
}

/** Pulls an image by its digest: parts that the store has, it does not ask its origin for. */
export async function restoreImage(job: RepairJob, manifest: Digest, { damage }: FsckReport): Promise<void> {
  const record = job.inventory.records.get(manifest)
  const descriptor = job.inventory.descriptor(manifest)
  if (descriptor === undefined) return job.failed(manifest, 'nothing tells how large its manifest is')
  const remains = record === undefined ? job.mender.remainsOfRecord(manifest) : ''
  const names = damage.flatMap(({ kind, name, images, affected }) =>
    kind === 'record' && name === manifest
      ? images
      : affected.flatMap((image) => (image.manifest === manifest ? image.names : [])),
  )
  const places = [
    record?.origin.source,
    originIn(remains),
    ...[...job.namesOf(manifest), ...names].filter(looksLikeSource),
  ]
  await job.fromAny(manifest, job.origins.namesOf(places), async (origin) => {
    const source = await job.origins.source(origin, record)
    const bytes = await source.fetch(descriptor, { signal: job.options.signal })
    const document = parseManifest(bytes, { mediaType: descriptor.mediaType, digest: manifest })
    if (document.kind !== 'manifest')
      throw new OnefoldError('BAD_FORMAT', `Cannot restore image ${manifest}: it is an index`)
    checkLayerTypes(document, await loadLayerTypes())
    const selected: Selected = {
      descriptor,
      bytes,
      manifest: document,
      trail: [{ descriptor, bytes }],
      platform: record?.platform ?? descriptor.platform,
    }
    await restore(job.store, source, selected, {
      ...job.pullOptions,
      keepSelinux: record?.keepSelinux ?? remains.includes('"keepSelinux": true'),
    })
  })
}
