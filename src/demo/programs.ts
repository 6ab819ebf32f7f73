import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Entry, newEntry, noContent } from '../formats/entry.ts'
import { pathFromUtf8 } from '../paths.ts'

/** File of a demo image: metadata and bytes. */
export interface DemoFile {
  readonly entry: Entry
  readonly body: Uint8Array
}

/** Program of this machine, and its path in an image. */
export interface Program {
  readonly from: string
  readonly path: string
}

/** Returns real programs with every library they need, as the files of an image. */
export function programFiles(programs: readonly Program[], mtime: number): DemoFile[] {
  const found = new Map<string, DemoFile>()
  for (const { from, path } of programs) {
    addFile(found, from, path, mtime)
    for (const library of librariesOf(from)) addFile(found, library, library, mtime)
  }
  return [...found.values()]
}

export function textFile(path: string, text: string, mtime: number): DemoFile {
  return {
    entry: { ...blank(path, 'file', mtime), content: { kind: 'unknown', size: Buffer.byteLength(text) } },
    body: Buffer.from(text),
  }
}

/** Returns the directories on the way to these files, parents first. */
export function parentsOf(files: readonly DemoFile[], mtime: number): DemoFile[] {
  const paths = new Set<string>()
  for (const { entry } of files)
    for (let path = dirname(entry.path); path !== '.'; path = dirname(path)) paths.add(path)
  return [...paths]
    .toSorted()
    .map((path) => ({ entry: { ...blank(path, 'directory', mtime), mode: 0o755 }, body: new Uint8Array() }))
}

/**
 * Returns the libraries of a program, as the dynamic loader finds them; none for a program without any, or that is no
 * program of this machine.
 */
function librariesOf(path: string): string[] {
  try {
    const lines = execFileSync('ldd', [path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return [...lines.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].flatMap(([, library]) =>
      library === undefined ? [] : [library],
    )
  } catch {
    return []
  }
}

/**
 * Adds a file. Symlinks of the machine are followed: the image has the file itself, under the name it was asked for by.
 */
function addFile(found: Map<string, DemoFile>, from: string, path: string, mtime: number): void {
  if (found.has(path)) return
  const body = readFileSync(from)
  const content = body.length === 0 ? noContent : ({ kind: 'unknown', size: body.length } as const)
  found.set(path, { entry: { ...blank(path.slice(1), 'file', mtime), mode: 0o755, content }, body })
}

function blank(path: string, type: Entry['type'], mtime: number): Entry {
  return newEntry({ path: pathFromUtf8(path), type, mtime })
}
