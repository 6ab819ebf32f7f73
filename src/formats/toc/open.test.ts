import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { contentOf, openLayer, splitTar, unpack } from '../../../test/table-layers.ts'
import { entriesOfTar } from '../../../test/tar-entries.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { type Descriptor, type Entry, noContent } from '../entry.ts'
import { stargzLayerDigest } from './annotations.ts'

const layout = 'one-tree/oci'

interface Manifest {
  readonly layers: readonly Descriptor[]
}

function json(path: string): unknown {
  return JSON.parse(readFileSync(vectors(`${layout}/${path}`)!, 'utf8'))
}

function blob(digest: string): Buffer {
  return readFileSync(vectors(`${layout}/blobs/sha256/${digest.slice(7)}`)!)
}

function layersOf(tag: string): readonly Descriptor[] {
  const index = json('index.json') as { manifests: { digest: string; annotations: Record<string, string> }[] }
  const { digest } = index.manifests.find((m) => m.annotations['org.opencontainers.image.ref.name'] === tag)!
  return (json(`blobs/sha256/${digest.slice(7)}`) as Manifest).layers
}

/** The entries that the tar in the blob has, without what eStargz put there. */
function entriesOf(bytes: Uint8Array): Entry[] {
  return entriesOfTar(unpack(bytes))
    .filter(({ path }) => !['stargz.index.json', '.no.prefetch.landmark'].includes(path))
    .map((entry) => ({ ...entry, content: noContent }))
}

describe('tables that the real tools wrote', { skip: withoutVectors(layout) }, () => {
  const tags = [
    'estargz',
    'estargz-chunk64k',
    'estargz-min512k',
    'estargz-ext',
    'estargz-ext-keepdiff',
    'stargz-zstdchunked',
    'skopeo-zstd-chunked',
  ]
  for (const tag of tags)
    test(tag, () => {
      const externals = tag.includes('-ext') ? layersOf(`${tag}-esgztoc`) : []
      for (const layer of layersOf(tag)) {
        const external = externals.find(({ annotations }) => annotations?.[stargzLayerDigest] === layer.digest)
        const bytes = blob(layer.digest)
        const { toc } = openLayer(layer, bytes, external && blob(external.digest))
        assert.ok(toc?.bound === true)
        assert.deepEqual(
          toc.files.map(({ entry }) => ({ ...entry, content: noContent })),
          entriesOf(bytes),
        )
        for (const file of toc.files) contentOf(bytes, toc, file)
        assert.equal(toc.tarSplit !== undefined, tag === 'skopeo-zstd-chunked')
        if (toc.tarSplit !== undefined) assert.ok(splitTar(bytes, toc).equals(unpack(bytes)))
      }
    })
})
