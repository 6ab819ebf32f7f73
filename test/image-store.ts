import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { VerityDigest } from '../src/digest.ts'
import { inlineMax, noContent, type Content } from '../src/formats/entry.ts'
import { verityDigest } from '../src/formats/fsverity/digest.ts'
import { composeImage } from '../src/image/compose.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  emptyDirectory,
} from '../src/formats/tree.ts'

/** As much of a store as mounting needs: objects and images, written as the store lays them out. */
export interface ImageStore {
  readonly root: string
  readonly objectsPath: string
  readonly verity: 'auto' | 'require'
  imagePath(digest: VerityDigest): string
  /** Content for a tree; what is over 64 bytes becomes an object. */
  content(bytes: Uint8Array | string): Content
  add(tree: Directory): VerityDigest
}

export function imageStore(root: string, verity: ImageStore['verity'] = 'auto'): ImageStore {
  const objectsPath = join(root, 'objects')
  const imagePath = (digest: VerityDigest): string => join(root, 'images', `${digest}.erofs`)
  for (const folder of [objectsPath, join(root, 'images')]) mkdirSync(folder, { recursive: true })
  return {
    root,
    objectsPath,
    verity,
    imagePath,
    content(data) {
      const bytes = Buffer.from(data)
      if (bytes.length <= inlineMax) return bytes.length === 0 ? noContent : { kind: 'inline', bytes }
      const digest = verityDigest(bytes)
      const folder = join(objectsPath, digest.slice(0, 2))
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, digest.slice(2)), bytes, { mode: 0o444 })
      return { kind: 'object', digest, size: bytes.length }
    },
    add(tree) {
      const { bytes, digest } = composeImage(tree)
      writeFileSync(imagePath(digest), bytes, { mode: 0o444 })
      return digest
    },
  }
}

const plain = { ...emptyDirectory(), children: undefined, nlink: 1 }

export function file(content: Content, more: Partial<Inode> = {}): Inode {
  return { ...plain, mode: S_IFREG | 0o644, content, ...more }
}

export function symlink(target: string): Inode {
  return { ...plain, mode: S_IFLNK | 0o777, target }
}

export function device(rdev: number, mode = S_IFCHR | 0o666): Inode {
  return { ...plain, mode, rdev }
}

export function directory(children: Record<string, Child>, more: Partial<Inode> = {}): Directory {
  const map = new Map(Object.entries(children))
  const below = Array.from(map.values()).filter((child) => 'children' in child && child.children !== undefined).length
  return { ...emptyDirectory(), mode: S_IFDIR | 0o755, nlink: 2 + below, ...more, children: map }
}
