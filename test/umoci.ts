import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { type Digest, digestOf } from '../src/digest.ts'
import { type Entry, sizeOf } from '../src/formats/entry.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../src/formats/tar/write.ts'
import { type Directory, emptyDirectory, inodeOf, isDirectory } from '../src/formats/tree.ts'
import { readTree } from './overlayfs.ts'
import { bytesOf } from './tree-text.ts'

/** What umoci unpacks of these layers, in an empty folder. Throws when umoci refuses them. */
export function unpackWithUmoci(folder: string, layers: readonly Entry[][]): Directory {
  const began = Math.floor(Date.now() / 1000) - 1
  writeLayout(`${folder}/layout`, layers.map(tarOf))
  execFileSync('umoci', ['raw', 'unpack', '--image', `${folder}/layout:x`, `${folder}/rootfs`], { stdio: 'pipe' })
  // A whiteout can make it remove the very folder it unpacks into.
  const root = existsSync(`${folder}/rootfs`) ? readTree(`${folder}/rootfs`) : emptyDirectory()
  forgetTimeOfUnpacking(root, began)
  return root
}

export function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const size = sizeOf(entry.content)
    return [writeTarHeader(entry, size), bytesOf(entry.content), tarPadding(size)]
  })
  return Buffer.concat([...parts, tarTrailer()])
}

/** Directories that no layer names bear the time they were made at; they are as good as unnamed ones of 1970. */
function forgetTimeOfUnpacking(directory: Directory, began: number): void {
  if (directory.mtime >= began) Object.assign(directory, { mtime: 0, mtimeNsec: 0 })
  for (const child of directory.children.values()) {
    const inode = inodeOf(child)
    if (isDirectory(inode)) forgetTimeOfUnpacking(inode, began)
  }
}

function writeLayout(folder: string, layers: readonly Buffer[]): void {
  mkdirSync(`${folder}/blobs/sha256`, { recursive: true })
  const blob = (mediaType: string, bytes: Uint8Array): { mediaType: string; digest: Digest; size: number } => {
    const digest = digestOf(bytes)
    writeFileSync(`${folder}/blobs/${digest.replace(':', '/')}`, bytes)
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest, size: bytes.length }
  }
  const json = (value: object): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, ...value }))
  const rootfs = { type: 'layers', diff_ids: layers.map((each) => digestOf(each)) }
  const config = blob('config.v1+json', json({ architecture: 'amd64', os: 'linux', config: {}, rootfs }))
  const manifest = blob('manifest.v1+json', json({ config, layers: layers.map((each) => blob('layer.v1.tar', each)) }))
  const annotations = { 'org.opencontainers.image.ref.name': 'x' }
  writeFileSync(`${folder}/index.json`, json({ manifests: [{ ...manifest, annotations }] }))
  writeFileSync(`${folder}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}')
}
