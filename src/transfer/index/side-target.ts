import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseSourceName } from '../../sources/source-name.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import { RegistryTarget } from '../../sources/registry/upload-target.ts'
import type { BlobReader } from '../../sources/registry/upload.ts'
import type { BlobName } from '../send/encoder.ts'
import { layoutFolder } from '../../sources/targets/layout-target.ts'

/** Takes what goes beside an image: into the same repository or layout. */
export interface SideTarget extends AsyncDisposable {
  putBlob(name: BlobName, bytes: Uint8Array): Promise<void>
  putManifest(descriptor: Descriptor, bytes: Uint8Array): Promise<void>
  putTagged(descriptor: Descriptor, bytes: Uint8Array, tag: string): Promise<void>
}

export interface SideOptions {
  readonly source?: SourceOptions | undefined
  readonly signal?: AbortSignal | undefined
}

export async function openSideTarget(reference: string, { source, signal }: SideOptions): Promise<SideTarget> {
  const place = parseSourceName(reference)
  if (place.transport === 'oci') return layoutSide(place.path)
  if (place.transport !== 'docker')
    throw new OnefoldError(
      'USAGE',
      `Cannot write beside ${JSON.stringify(reference)}: expected an image in a registry, or oci:DIR[:TAG]`,
    )
  const target = new RegistryTarget(place.reference, source?.registry ?? {})
  const abort = { signal }
  return {
    async putBlob(name, bytes) {
      if (await target.hasBlob(name, abort)) return
      await target.uploadBlob(name, readerOf(bytes), abort)
    },
    putManifest: (descriptor, bytes) => target.putManifest(descriptor, bytes, descriptor.digest, abort),
    putTagged: (descriptor, bytes, tag) => target.putManifest(descriptor, bytes, tag, abort),
    [Symbol.asyncDispose]: () => target[Symbol.asyncDispose](),
  }
}

function readerOf(bytes: Uint8Array): BlobReader {
  return async function* (offset, length) {
    yield bytes.subarray(offset, offset + length)
  }
}

function layoutSide(path: string): SideTarget {
  using stack = new DisposableStack()
  const layout = stack.use(layoutFolder(path))
  const kept = stack.move()
  return {
    putBlob: ({ digest, size }, bytes) =>
      layout.putBlob({ mediaType: 'application/octet-stream', digest, size }, bytes),
    putManifest: (descriptor, bytes) => layout.putManifest(descriptor, bytes),
    async putTagged(descriptor, bytes, tag) {
      await layout.putManifest(descriptor, bytes)
      layout.finish(descriptor, tag)
    },
    async [Symbol.asyncDispose]() {
      kept.dispose()
    },
  }
}
