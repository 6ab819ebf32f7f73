import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { writeSociIndex, ztocsOf } from './index-manifest.ts'

const blobs = `${vectors('one-tree') ?? ''}/oci/blobs/sha256`

test(
  'read and written again, the index manifest of soci 0.15 is the same to the byte',
  { skip: withoutVectors('one-tree') },
  () => {
    const bytes = readFileSync(`${blobs}/c1e7c23d80e723af0f99ee3126553302dca8e52ab60beb435d1cf6e5d167dcbb`)
    const manifest = JSON.parse(bytes.toString()) as { layers: Descriptor[] }
    const ztocs = [...ztocsOf(manifest.layers)]
    const layers = ztocs.map(([digest, ztoc]) => ({
      layer: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 0 },
      ztoc,
      spanSize: 262_144,
    }))
    assert.deepEqual(Buffer.from(writeSociIndex(layers, { buildTool: 'AWS SOCI CLI v0.2' })), bytes)
  },
)
