import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { entriesOfTar } from '../fixtures/tar-entries.ts'
import { vectors, withoutVectors } from '../vectors.ts'
import type { Digest } from '../../src/digest.ts'
import { type Content, sizeOf } from '../../src/formats/entry.ts'
import { parseIndex, parseManifest } from '../../src/formats/oci/manifest.ts'
import { Merge } from '../../src/image/merge/apply-layers.ts'
import { composeImage } from '../../src/image/stream-image.ts'
import { nodeTypeOf, unpackDevice } from '../../src/formats/node-type.ts'
import { treeToJson, walk } from '../../src/image/tree-json.ts'
import { type Directory, type Inode, inodeOf, isDirectory } from '../../src/formats/tree.ts'

const folder = vectors('one-tree') ?? ''

describe('the one tree of all tools', { skip: withoutVectors('one-tree') }, () => {
  const hashes = new Map<string, string>()
  let root: Directory

  before(() => {
    const merge = new Merge()
    for (const name of ['layer1.tar', 'layer2.tar'])
      merge.apply(
        entriesOfTar(readFileSync(`${folder}/${name}`), (content, bytes) => {
          hashes.set(keyOf(content), createHash('sha256').update(bytes).digest('hex'))
        }),
        'layer',
      )
    root = merge.finish()
  })

  test('merged from its two layers is what tree.json says', () => {
    const got = [...walk(root)].map(({ path, inode, link }) => ({
      path: `/${path}`,
      ...factsOf(inode),
      ...linkTo(link),
    }))
    assert.deepEqual(got, JSON.parse(readFileSync(`${folder}/tree.json`, 'utf8')))
  })

  for (const [name, options] of [
    ['default', {}],
    ['v0', { minVersion: 0, maxVersion: 0 }],
    ['v1', { minVersion: 1, maxVersion: 1 }],
  ] as const)
    test(`has the composefs image of mkcomposefs: ${name}`, () => {
      const want = readFileSync(`${folder}/composefs/${name}.digest`, 'utf8').trim()
      assert.equal(composeImage(withoutLinks(root), options).digest, want)
      assert.notEqual(composeImage(root, options).digest, want)
    })

  for (const tag of [
    'gz',
    'skopeo-zstd',
    'skopeo-zstd-chunked',
    'estargz',
    'estargz-chunk64k',
    'estargz-min512k',
    'estargz-ext',
    'estargz-ext-keepdiff',
    'stargz-zstdchunked',
  ])
    test(`is the same when ${tag} is pulled whole`, () => {
      const merge = new Merge()
      for (const blob of layersOf(tag)) {
        const entries = entriesOfTar(blob[0] === 0x1f ? gunzipSync(blob) : zstdDecompressSync(blob))
        merge.apply(entries, 'layer')
      }
      assert.deepEqual([...treeToJson(merge.finish())], [...treeToJson(root)])
    })

  /** An inode in the form of tree.json. */
  function factsOf(inode: Inode): object {
    const type = nodeTypeOf(inode)
    return {
      type: type === 'directory' ? 'dir' : type,
      mode: `0o${(inode.mode & 0o7777).toString(8)}`,
      uid: inode.uid,
      gid: inode.gid,
      mtime: inode.mtime,
      ...(type === 'file' && { size: sizeOf(inode.content), sha256: hashes.get(keyOf(inode.content)) }),
      ...(type === 'symlink' && { target: inode.target }),
      ...((type === 'char' || type === 'block') && { rdev: unpackDevice(inode.rdev) }),
      ...(inode.xattrs.size > 0 && { xattrs: xattrsOf(inode) }),
    }
  }
})

function layersOf(tag: string): Buffer[] {
  const index = parseIndex(readFileSync(`${folder}/oci/index.json`), 'the index of the vectors')
  const entry = index.manifests.find(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === tag)
  assert.ok(entry)
  const manifest = parseManifest(readBlob(entry.digest))
  assert.ok('layers' in manifest)
  return manifest.layers.map(({ digest }) => readBlob(digest))
}

function readBlob(digest: Digest): Buffer {
  return readFileSync(`${folder}/oci/blobs/${digest.replace(':', '/')}`)
}

/** What mkcomposefs makes of hard links when it scans a directory: files of their own. */
function withoutLinks(directory: Directory): Directory {
  const children = [...directory.children].map(([name, child]): [string, Inode] => {
    const inode = inodeOf(child)
    return [name, isDirectory(inode) ? withoutLinks(inode) : { ...inode, nlink: 1 }]
  })
  return { ...directory, children: new Map(children) }
}

function xattrsOf(inode: Inode): object {
  return Object.fromEntries([...inode.xattrs].map(([name, value]) => [name, Buffer.from(value).toString('hex')]))
}

function linkTo(link: string | undefined): object {
  return link === undefined ? {} : { link: `/${link}` }
}

function keyOf(content: Content): string {
  if (content.kind === 'object') return content.digest
  return content.kind === 'inline' ? Buffer.from(content.bytes).toString('hex') : content.kind
}
