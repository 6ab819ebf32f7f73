import { execFileSync } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { type Child, type Directory, S_IFREG } from '../src/formats/tree.ts'
import { type ImageStore, directory, file } from './image-store.ts'

/** A tree with programs of this machine and the libraries they need, where they have them, and `more` beside them. */
export function programTree(
  store: ImageStore,
  programs: readonly string[],
  more: Record<string, Child> = {},
): Directory {
  const root = directory(more)
  for (const path of new Set(programs.flatMap((program) => [program, ...librariesOf(program)]))) {
    put(root, path.split('/').slice(1), file(store.content(readFileSync(path)), { mode: S_IFREG | 0o755 }))
  }
  return root
}

function librariesOf(program: string): string[] {
  const listing = execFileSync('ldd', [realpathSync(program)], { encoding: 'utf8' })
  return Array.from(listing.matchAll(/(\/\S+) \(0x/g), ([, path = '']) => path)
}

function put(parent: Directory, [name = '', ...rest]: string[], leaf: Child): void {
  if (rest.length === 0) {
    parent.children.set(name, leaf)
    return
  }
  let child = parent.children.get(name)
  if (child === undefined) {
    child = directory({})
    parent.children.set(name, child)
    parent.nlink++
  }
  put(child as Directory, rest, leaf)
}
