import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { type Descriptor, type Entry, sizeOf } from '../entry.ts'
import { TarParser } from '../tar/parse.ts'
import type { TocFile, TocLayer, Unit } from '../toc.ts'
import { stargzLayerDigest } from './annotations.ts'
import { openToc } from './open.ts'

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

/** The table, and the parts of the blob that were asked for. */
function open(layer: Descriptor, external = ''): { toc: TocLayer; asked: [number, number][] } {
  const bytes = blob(layer.digest)
  const asked: [number, number][] = []
  const reading = openToc(layer)
  let step = reading.next()
  while (step.done !== true) {
    const need = step.value
    if (need.kind === 'range') asked.push([need.start, need.end])
    step = reading.next(need.kind === 'range' ? bytes.subarray(need.start, need.end) : blob(external))
  }
  assert.ok(step.value !== undefined)
  return { toc: step.value, asked }
}

function decode(bytes: Uint8Array, { start, end, coding }: Unit): Buffer {
  const part = bytes.subarray(start, end)
  return coding.kind === 'gzip' ? gunzipSync(part) : zstdDecompressSync(part)
}

function contentOf(bytes: Uint8Array, toc: TocLayer, { entry, chunks }: TocFile): Buffer {
  const parts = chunks.map(({ unit, skip, length, digest }) => {
    const part =
      unit === undefined ? Buffer.alloc(length) : decode(bytes, toc.units[unit]!).subarray(skip, skip + length)
    if (digest !== undefined) assert.equal(digestOf(part), digest)
    return part
  })
  const content = Buffer.concat(parts)
  assert.equal(content.length, sizeOf(entry.content))
  return content
}

/** The entries that the tar in the blob has, without what eStargz put there. */
function entriesOf(bytes: Uint8Array): Entry[] {
  const tar = bytes[0] === 0x1f ? gunzipSync(bytes) : zstdDecompressSync(bytes)
  const entries: Entry[] = []
  const handler = {
    framing: () => {},
    entry: (entry: Entry) => void entries.push(entry),
    data: () => {},
    endEntry: () => {},
  }
  new TarParser(handler).write(tar)
  return entries.filter(({ path }) => !['stargz.index.json', '.no.prefetch.landmark'].includes(path))
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
        const { toc } = open(layer, external?.digest)
        const bytes = blob(layer.digest)
        assert.deepEqual(
          toc.files.map(({ entry }) => entry),
          entriesOf(bytes),
        )
        for (const file of toc.files) {
          const content = contentOf(bytes, toc, file)
          if (file.digest !== undefined) assert.equal(digestOf(content), file.digest)
        }
        if (toc.tarSplit !== undefined) {
          const { framing, bodies, tarSize } = toc.tarSplit
          const parts: Uint8Array[] = []
          let at = 0
          for (const body of bodies) {
            parts.push(framing.subarray(at, body.at), contentOf(bytes, toc, toc.files[body.file]!))
            at = body.at
          }
          const tar = Buffer.concat([...parts, framing.subarray(at)])
          assert.equal(tar.length, tarSize)
          assert.equal(digestOf(tar), digestOf(zstdDecompressSync(bytes)))
        }
      }
    })
})
