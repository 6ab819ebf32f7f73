import type { Command } from '../command.ts'
import { findPath, imageOptions, obtainImage, openCallStore, treeOf } from '../image.ts'
import { alignColumns, printableName } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const ls: Command = {
  operands: 'IMAGE [PATH]',
  about: [
    'Lists a directory of an image, from its metadata alone: nothing is mounted, no file is read.',
    'Bytes of names that are not printable UTF-8 are shown as \\xNN, and PATH may be written like that.',
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
    const tree = await treeOf(store, await obtainImage(call, store, name))
    const { entriesBelow, longColumns } = await import('../listing.ts')
    const entries = entriesBelow(tree, findPath(tree, path, name), options.flag('recursive'))
    if (out.json) {
      const { jsonEntry } = await import('../../image/json.ts')
      out.list(entries.map((entry) => jsonEntry(entry.path, entry.inode, entry.link)))
    } else if (options.flag('long')) out.lines(alignColumns(entries.map(longColumns)))
    else out.lines(entries.map(({ shown }) => printableName(shown)))
  },
}
