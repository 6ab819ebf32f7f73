import { type Digest, algorithmOf, hexOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { detectMediaType } from '../../formats/oci/manifest.ts'
import { documentKind } from '../../formats/oci/media-types.ts'
import { type FileSet, readDocument } from './file-set.ts'
import { localSource } from './local-source.ts'
import type { Artifact, FileRange, Source } from '../source.ts'

/**
 * Opens what `skopeo copy … dir:DIR` writes, a registry's documents and blobs side by side:
 *
 *     version                 "Directory Transport Version: 1.1"
 *     manifest.json           the manifest or index, as served
 *     <hex>.manifest.json     manifests that an index names
 *     <hex>                   configs and layers; sha512-<hex> for digests that are not sha256
 */
export async function openDir(name: string, files: FileSet): Promise<Source> {
  await checkVersion(files)
  return localSource({
    name,
    kind: 'layer',
    resolve: () => readTop(files),
    locate: (descriptor) => locateBlob(files, descriptor),
    close: () => files.close(),
  })
}

async function checkVersion(files: FileSet): Promise<void> {
  const bytes = await readDocument(files, 'version')
  // The first writers left the file out, and skopeo reads such directories to this day.
  if (bytes === undefined) return
  const text = Buffer.from(bytes).toString('latin1').trim()
  if (/^Directory Transport Version: 1\.\d+$/.test(text)) return
  const found = JSON.stringify(text.slice(0, 100))
  throw new OnefoldError(
    'UNSUPPORTED',
    `Cannot open "${files.path}": its version is ${found}, expected "Directory Transport Version: 1.x"`,
  )
}

async function readTop(files: FileSet): Promise<Artifact> {
  const bytes = await readDocument(files, 'manifest.json')
  if (bytes === undefined)
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot open "${files.path}" as skopeo's dir: it has no file "manifest.json"`,
      {
        hint: 'An OCI layout is oci:, a plain tree is rootfs:.',
      },
    )
  return { descriptor: describeBlob(detectMediaType(bytes), bytes), bytes }
}

async function locateBlob(files: FileSet, { digest, mediaType }: Descriptor): Promise<FileRange | undefined> {
  const name = blobName(digest)
  return documentKind(mediaType) === undefined ? files.locate(name) : files.locate(`${name}.manifest.json`)
}

function blobName(digest: Digest): string {
  return algorithmOf(digest) === 'sha256' ? hexOf(digest) : `${algorithmOf(digest)}-${hexOf(digest)}`
}
