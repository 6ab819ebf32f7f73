import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes, ociLayerType } from './media-types.ts'

const cases: readonly [mediaType: string, kept: string, renamed?: string][] = [
  [mediaTypes.dockerLayer, mediaTypes.layer],
  [mediaTypes.dockerLayerGzip, mediaTypes.layerGzip],
  [mediaTypes.dockerLayerZstd, mediaTypes.layerZstd],
  [mediaTypes.layerZstd, mediaTypes.layerZstd],
  [
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ],
  ['application/vnd.docker.image.rootfs.diff.tar.bzip2', 'application/vnd.docker.image.rootfs.diff.tar.bzip2'],
  ['text/plain', 'text/plain'],
]
for (const [mediaType, kept, renamed = kept] of cases)
  test(`what OCI calls ${mediaType}`, () => {
    assert.equal(ociLayerType(mediaType, 'kept'), kept)
    assert.equal(ociLayerType(mediaType, 'renamed'), renamed)
  })
