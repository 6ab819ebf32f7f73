import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Entry, noContent, noXattrs } from '../formats/entry.ts'

/** A file of a demo image: metadata and bytes. */
export interface DemoFile {
  readonly entry: Entry
  readonly body: Uint8Array
}

/** Real programs of this machine with every library they need, as the files of an image. */
export function programs(paths: readonly string[], mtime: number): DemoFile[] {
  const found = new Map<string, DemoFile>()
  for (const path of paths) {
    addFile(found, path, mtime)
    for (const library of librariesOf(path)) addFile(found, library, mtime)
  }
  return [...found.values()]
}

export function textFile(path: string, text: string, mtime: number): DemoFile {
  return {
    entry: { ...blank(path, 'file', mtime), content: { kind: 'unknown', size: Buffer.byteLength(text) } },
    body: Buffer.from(text),
  }
}

/** Directories on the way to these files, parents first. */
export function parentsOf(files: readonly DemoFile[], mtime: number): DemoFile[] {
  const paths = new Set<string>()
  for (const { entry } of files)
    for (let path = dirname(entry.path); path !== '.'; path = dirname(path)) paths.add(path)
  return [...paths]
    .toSorted()
    .map((path) => ({ entry: { ...blank(path, 'directory', mtime), mode: 0o755 }, body: new Uint8Array() }))
}

/** As the dynamic loader finds them; a program without any, or that is no program of this machine, has none. */
function librariesOf(path: string): string[] {
  try {
    const lines = execFileSync('ldd', [path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return [...lines.matchAll(/(?:=> |^\s)(\/\S+) \(0x/gm)].flatMap(([, library]) =>
      library === undefined ? [] : [library],
    )
  } catch {
    return []
  }
}

/** The file with its directory's symlinks resolved (`/lib64` is one), and the names that are symlinks to it. */
function addFile(found: Map<string, DemoFile>, path: string, mtime: number): void {
  if (!existsSync(path) || found.has(path)) return
  const name = path.slice(1)
  if (lstatSync(path).isSymbolicLink()) {
    const target = readlinkSync(path)
    const real = realpathSync(path)
    if (dirname(real) === dirname(path)) {
      found.set(path, {
        entry: { ...blank(name, 'symlink', mtime), mode: 0o777, link: target },
        body: new Uint8Array(),
      })
      return addFile(found, real, mtime)
    }
  }
  const body = readFileSync(path)
  const content = body.length === 0 ? noContent : ({ kind: 'unknown', size: body.length } as const)
  found.set(path, { entry: { ...blank(name, 'file', mtime), mode: 0o755, content }, body })
}

function blank(path: string, type: Entry['type'], mtime: number): Entry {
  return {
    path: Buffer.from(path, 'utf8').toString('latin1'),
    type,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime,
    mtimeNsec: 0,
    major: 0,
    minor: 0,
    link: '',
    xattrs: noXattrs,
    content: noContent,
  }
}
