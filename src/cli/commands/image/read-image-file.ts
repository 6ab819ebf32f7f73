import type { Directory } from '../../../formats/tree.ts'
import type { Call } from '../../command.ts'
import { type Action, compatOption } from './image-action.ts'

/** Actions that tell what an image holds. */

interface Read {
  readonly bytes: Uint8Array
  readonly tree: Directory
}

async function read({ options }: Call, path: string): Promise<Read> {
  const { readErofs } = await import('../../../formats/composefs/read-image.ts')
  const { readInput } = await import('./named-files.ts')
  const bytes = readInput(path)
  return { bytes, tree: readErofs(bytes, { foreignPaths: options.flag('compat') }) }
}

export const dump: Action = {
  operands: 'FILE',
  summary: 'print an image as a dump, composefs-dump(5): the same image can be made of it',
  least: 1,
  most: 1,
  options: compatOption,
  examples: [
    { command: 'onefold image dump tree.cfs > tree.dump', meaning: 'the whole tree as text, digests included' },
  ],
  async run(call, [path = '']) {
    const { bytes, tree } = await read(call, path)
    const { openErofs } = await import('../../../formats/composefs/image-view.ts')
    const { writeDump } = await import('../../../formats/dump/write-dump.ts')
    if (call.out.json) {
      const { treeToJson } = await import('../../../image/tree-json.ts')
      return call.out.list(treeToJson(tree))
    }
    const version = openErofs(bytes).version === 1 ? 1 : 0
    for (const piece of writeDump(tree, { minVersion: version, maxVersion: version })) call.out.bytes(piece)
  },
}

export const list: Action = {
  operands: 'FILE [PATH]',
  summary: 'list the files of an image, or those below PATH',
  least: 1,
  most: 2,
  options: { long: { short: 'l', help: 'with type, mode, owner, size and time' }, ...compatOption },
  examples: [{ command: 'onefold image ls -l tree.cfs /etc', meaning: 'all below /etc' }],
  async run(call, [path = '', place = '/']) {
    const { out, options } = call
    const { tree } = await read(call, path)
    const { lookup } = await import('../../../formats/lookup.ts')
    const { findPath } = await import('../../image.ts')
    const { entriesBelow, longColumns } = await import('../../listing.ts')
    const { alignColumns, printableName } = await import('../../output.ts')
    const entries = entriesBelow(
      tree,
      findPath((each) => lookup(tree, each), place, path),
    )
    if (out.json) {
      const { jsonEntry } = await import('../../../image/tree-json.ts')
      return out.list(entries.map((entry) => jsonEntry(entry.path, entry.inode, entry.link)))
    }
    out.lines(
      options.flag('long') ? alignColumns(entries.map(longColumns)) : entries.map(({ shown }) => printableName(shown)),
    )
  },
}

export const info: Action = {
  operands: 'FILE …',
  summary: 'show digest, version and contents of images, after reading all of each',
  least: 1,
  most: Infinity,
  options: compatOption,
  examples: [{ command: 'onefold image info --json tree.cfs | jq -r ".[].digest"', meaning: 'the name of the tree' }],
  async run(call, paths) {
    const { describeImage } = await import('./describe-image.ts')
    const found = []
    for (const path of paths) {
      const { bytes, tree } = await read(call, path)
      found.push({ file: path, ...describeImage(bytes, tree) })
    }
    if (call.out.json) return call.out.value(found)
    const { formatBytes } = await import('../../output.ts')
    call.out.lines(
      found.flatMap(({ file, digest, format, bytes, inodes, names, objects, objectBytes }) => [
        file,
        `  digest   ${digest}`,
        `  format   ${format === null ? 'EROFS, not composefs' : `composefs ${format}`}, ${formatBytes(bytes)}`,
        `  tree     ${names} names of ${inodes} inodes`,
        `  objects  ${objects} of ${formatBytes(objectBytes)}`,
      ]),
    )
  },
}

export const objects: Action = {
  operands: 'FILE …',
  summary: 'list the objects that images need, each once, in byte order; with --missing those that are not there',
  least: 1,
  most: Infinity,
  options: {
    missing: { value: 'DIR', help: 'only objects that are not in DIR, or have another size there' },
    ...compatOption,
  },
  examples: [{ command: 'onefold image objects --missing /srv/objects tree.cfs', meaning: 'what has to be brought' }],
  async run(call, paths) {
    const { objectsOf, isPresent } = await import('./describe-image.ts')
    const needed = new Map<string, number>()
    for (const path of paths)
      for (const [place, size] of objectsOf((await read(call, path)).tree)) needed.set(place, size)
    const missing = call.options.text('missing')
    const wanted = [...needed]
      .filter(([place, size]) => missing === undefined || !isPresent(missing, place, size))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const { printableName } = await import('../../output.ts')
    if (call.out.json) call.out.list(wanted.map(([path, size]) => ({ path: printableName(path), size })))
    else call.out.lines(wanted.map(([path]) => printableName(path)))
  },
}
