import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadFormats } from './all.ts'
import { untrueAnnotations } from './untrue-annotations.ts'

test('what formats say of bytes is told from what others say', async () => {
  const { ofLayer, ofImage } = untrueAnnotations(await loadFormats())
  const names = [
    'containerd.io/snapshot/stargz/toc.digest',
    'io.containers.estargz.uncompressed-size',
    'io.containers.zstd-chunked.manifest-checksum',
    'io.github.containers.zstd-chunked.manifest-position',
    'com.amazon.soci.index-digest',
    'org.opencontainers.image.title',
    'x.io.containers.estargz.',
  ]
  assert.deepEqual(names.filter(ofLayer), names.slice(0, 4))
  assert.deepEqual(names.filter(ofImage), names.slice(4, 5))
})
