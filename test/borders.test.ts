/**
 * Which room may know of which: the direction of imports, types included. What is not allowed here is refused, also in a
 * folder that nobody has heard of yet; docs/architecture.md shows the same as a picture.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, test } from 'node:test'
import { projectRoot } from './docs/markdown.ts'

/** Of each room, the rooms whose files it may name; every room may name the files that lie in `src` itself. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  codecs: [],
  threads: [],
  linux: [],
  formats: ['codecs'],
  recipe: ['formats'],
  image: ['formats', 'recipe'],
  content: ['codecs', 'formats'],
  scan: ['formats', 'linux', 'threads'],
  store: ['codecs', 'formats', 'image', 'linux', 'recipe', 'threads'],
  sources: ['codecs', 'content', 'formats', 'linux', 'scan'],
  transfer: ['codecs', 'content', 'formats', 'image', 'linux', 'recipe', 'scan', 'sources', 'store', 'threads'],
  mount: ['formats', 'linux', 'store'],
  run: ['formats', 'linux', 'mount', 'store'],
  library: ['formats', 'image', 'mount', 'run', 'store', 'transfer'],
  cli: ['formats', 'image', 'library', 'linux', 'mount', 'run', 'scan', 'sources', 'store', 'transfer'],
  demo: ['cli', 'formats', 'library', 'run', 'sources', 'store', 'transfer'],
}

/** Rooms with an inside: the only files of them that other rooms may name. */
const doors: Readonly<Record<string, readonly string[]>> = {
  store: [
    'src/store/store.ts',
    'src/store/mount-record.ts',
    'src/store/records/image-record.ts',
    'src/store/transaction/transaction.ts',
    'src/store/transaction/staging.ts',
    'src/store/index/held-contents.ts',
    'src/store/objects/file-digest.ts',
  ],
}

/** The files of codecs that only compute, and call no library: what formats may know of them. */
const pureCodecs = ['codec.ts', 'coding.ts', 'detect.ts', 'gzip-members.ts', 'zstd-frames.ts']

/** Rooms that do nothing but compute: what of Node they may use. */
const pure: Readonly<Record<string, readonly string[]>> = {
  formats: ['node:buffer', 'node:crypto', 'node:util'],
  recipe: ['node:buffer', 'node:crypto', 'node:zlib'],
  image: ['node:buffer', 'node:crypto'],
}

interface Import {
  readonly from: string
  readonly to: string
}

const files = globSync('src/**/*.ts', { cwd: projectRoot, exclude: ['**/*.test.ts'] }).toSorted()
const imports = files.flatMap(importsOf)

/** Static, dynamic and of types alone: whoever names a file knows of it. */
function importsOf(from: string): Import[] {
  const text = readFileSync(join(projectRoot, from), 'utf8')
  const named = [...text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'([^']+)'/g)].map((match) => match[1] ?? '')
  return named.map((name) => ({ from, to: name.startsWith('.') ? normalize(join(dirname(from), name)) : name }))
}

/** `src/store/gc/sweep.ts` is in `store`; what lies in `src` itself is in none. */
function roomOf(file: string): string | undefined {
  const [, room, rest] = file.split('/')
  return rest === undefined ? undefined : room
}

function describeImports(found: readonly Import[]): string[] {
  return found.map(({ from, to }) => `${from} → ${to}`)
}

describe('borders', () => {
  test('every room is in the list', () => {
    const found = new Set(files.map(roomOf).filter((room) => room !== undefined))
    assert.deepEqual([...found].toSorted(), Object.keys(rooms).toSorted())
  })

  test('a room names only rooms that it may know of', () => {
    const wrong = imports.filter(({ from, to }) => {
      const [here, there] = [roomOf(from), roomOf(to)]
      if (!to.startsWith('src/') || here === there || there === undefined) return false
      return here !== undefined && rooms[here]?.includes(there) !== true
    })
    assert.deepEqual(describeImports(wrong), [])
  })

  test('files of src itself name no room, but for the index', () => {
    const wrong = imports.filter(
      ({ from, to }) => roomOf(from) === undefined && roomOf(to) !== undefined && from !== 'src/index.ts',
    )
    assert.deepEqual(describeImports(wrong.filter(({ to }) => to.startsWith('src/'))), [])
  })

  test('rooms with an inside are entered by their doors', () => {
    const wrong = imports.filter(({ from, to }) => {
      const there = roomOf(to)
      if (there === undefined || roomOf(from) === there) return false
      return doors[there]?.includes(to) === false
    })
    assert.deepEqual(describeImports(wrong), [])
  })

  test('formats know of codecs only what computes', () => {
    const wrong = imports.filter(
      ({ from, to }) =>
        roomOf(from) === 'formats' && roomOf(to) === 'codecs' && !pureCodecs.includes(to.slice('src/codecs/'.length)),
    )
    assert.deepEqual(describeImports(wrong), [])
  })

  test('pure rooms use nothing that reads, writes or waits', () => {
    const wrong = imports.filter(({ from, to }) => {
      const allowed = pure[roomOf(from) ?? '']
      return allowed !== undefined && !to.startsWith('src/') && !allowed.includes(to)
    })
    assert.deepEqual(describeImports(wrong), [])
  })

  test('no file leads back to itself', () => {
    assert.deepEqual(findCycles(), [])
  })
})

/** One way round for each group of files that know each other. */
function findCycles(): string[] {
  const next = Map.groupBy(imports, ({ from }) => from)
  const state = new Map<string, 'open' | 'done'>()
  const path: string[] = []
  const cycles: string[] = []
  const visit = (file: string): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      cycles.push([...path.slice(path.indexOf(file)), file].join(' → '))
      return
    }
    state.set(file, 'open')
    path.push(file)
    for (const { to } of next.get(file) ?? []) if (to.startsWith('src/')) visit(to)
    path.pop()
    state.set(file, 'done')
  }
  for (const file of files) visit(file)
  return cycles
}
