import type { Store, StoredImage } from '../../store/store.ts'
import type { Command } from '../command.ts'
import { findPath, imageOptions, obtainImage, openCallStore, treeOf, viewOf } from '../image.ts'
import type { Listed } from '../listing.ts'
import { alignColumns, printableName } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const ls: Command = {
  operands: 'IMAGE [PATH]',
  about: [
    'Lists a directory of an image, from its metadata alone: nothing is mounted, no file is read.',
    'An IMAGE that the store does not have is pulled first.',
    'Bytes of names that are not printable UTF-8 are shown as \\xNN, and PATH may be written like that.',
    'With --json, which other name a hard link repeats ("link") is told by -R only: it takes reading the whole tree.',
  ].join('\n'),
  options: {
    long: { short: 'l', help: 'with type, mode, owner, size and time' },
    recursive: { short: 'R', help: 'everything below' },
    ...imageOptions,
  },
  examples: [
    { command: 'onefold ls alpine /etc', meaning: 'names in /etc' },
    { command: 'onefold ls -lR debian:12 /usr/lib', meaning: 'everything below /usr/lib, with metadata' },
    { command: 'onefold ls -R --json alpine | jq \'.[] | select(.type == "symlink")\'', meaning: 'all symlinks' },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length === 1 || operands.length === 2, 'ls takes IMAGE and perhaps PATH', 'ls')
    const [name = '', path = '/'] = operands
    await using store = await openCallStore(call)
    const image = await obtainImage(call, store, name)
    const entries = await (options.flag('recursive') ? listBelow : listIn)(store, image, path, name)
    if (out.json) {
      const { jsonEntry } = await import('../../image/tree-json.ts')
      out.list(entries.map((entry) => jsonEntry(entry.path, entry.inode, entry.link)))
    } else if (options.flag('long')) {
      const { longColumns } = await import('../listing.ts')
      out.lines(alignColumns(entries.map(longColumns)))
    } else out.lines(entries.map(({ shown }) => printableName(shown)))
  },
}

async function listIn(store: Store, image: StoredImage, path: string, name: string): Promise<Listed[]> {
  const { entriesIn } = await import('../listing.ts')
  const view = await viewOf(store, image)
  const found = findPath((place) => view.lookup(place), path, name)
  return entriesIn(view, found)
}

async function listBelow(store: Store, image: StoredImage, path: string, name: string): Promise<Listed[]> {
  const { lookup } = await import('../../formats/lookup.ts')
  const { entriesBelow } = await import('../listing.ts')
  const tree = await treeOf(store, image)
  const found = findPath((place) => lookup(tree, place), path, name)
  return entriesBelow(tree, found)
}
