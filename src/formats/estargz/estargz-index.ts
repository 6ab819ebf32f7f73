import { OnefoldError } from '../../error.ts'
import type { ContentIndex } from '../content-index.ts'
import type { IndexLimits } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { parseArtifact } from '../oci/manifest.ts'
import { type Reading, readBlob, readRelated, readTail } from '../reading.ts'
import { checkStargzJson, readTocRange } from '../toc-json/read-toc.ts'
import { readStargzTable } from '../toc-json/stargz-table.ts'
import { badAnnotation, isZstd } from '../toc-json/toc-annotations.ts'
import { type TocLimits, readTocJson, tooLarge } from '../toc-json/toc-json.ts'
import { maxFooterBytes, parseEstargzFooter } from './estargz-footer.ts'
import { unpackToc } from './unpack-toc.ts'
import { estargzBinding } from './estargz-binding.ts'
import { tableReader } from '../toc-json/table-reader.ts'

/** Suffix of an image's name under which readers find the image that holds its tables. */
export const externalTocSuffix = '-esgztoc'
/** In the image of external tables, the digest of the layer that a table is of. */
export const tableLayerDigest = 'containerd.io/snapshot/stargz/layer.digest'

/** Reads the tables of eStargz: at the end of the blob, or in an image of their own. */
export const estargzIndex = tableReader({
  binding: estargzBinding,
  mayHaveTable: (layer) => !isZstd(layer.mediaType),
  open: openEstargz,
})

function* openEstargz(
  layer: Descriptor,
  isBound: boolean,
  limits: Required<IndexLimits>,
): Reading<ContentIndex | undefined> {
  const footer = parseEstargzFooter(yield* readTail(layer, maxFooterBytes))
  if (footer === undefined) {
    if (isBound) throw badAnnotation('its blob does not end with the footer of eStargz')
    return undefined
  }
  const footerStart = layer.size - footer.length
  const packed =
    footer.tocOffset === undefined
      ? yield* readExternalToc(layer, limits)
      : yield* readTocRange('the table', layer, { start: footer.tocOffset, end: footerStart }, footerStart, limits)
  if (packed.length > limits.maxTocBytes) throw tooLarge('the table', packed.length, limits)
  const json = unpackToc(packed, limits.maxTocBytes)
  const bound = checkStargzJson(layer, json)
  const blob = { format: 'estargz', layer, bound, payloadEnd: footer.tocOffset ?? footerStart, coding: 'gzip' } as const
  return readStargzTable(readTocJson(json, limits), blob, limits)
}

/** The tables of an image's layers lie in an image of their own, which says of each which layer it is of. */
function* readExternalToc(layer: Descriptor, limits: Required<TocLimits>): Reading<Uint8Array> {
  const tables = yield* readRelated({ tagSuffix: externalTocSuffix })
  const document = tables && parseArtifact(tables.bytes, tables.descriptor)
  const blobs = document?.kind === 'manifest' ? document.layers : []
  const found = blobs.find(({ annotations }) => annotations?.[tableLayerDigest] === layer.digest)
  if (found !== undefined) return yield* readBlob(found, limits.maxTocBytes, 'a table of contents')
  throw new OnefoldError(
    'NOT_FOUND',
    `Cannot find the table of contents of layer ${layer.digest}: it has one of its own, and there is no image tagged …${externalTocSuffix} that holds it`,
  )
}
