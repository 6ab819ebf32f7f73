import { type Change, diffTrees } from '../../image/diff.ts'
import { jsonEntry } from '../../image/json.ts'
import type { Command } from '../command.ts'
import { imageOptions, obtainImage, openCallStore, treeOf } from '../image.ts'
import { printableName } from '../output.ts'
import { usageUnless } from '../usage.ts'

const signs = { added: '+', removed: '-', changed: '~' } as const

export const diff: Command = {
  operands: 'IMAGE IMAGE',
  about: [
    'Compares the merged trees of two images: + only in the second, - only in the first, ~ in both but not the same,',
    'followed by what differs. Contents are compared by digest, so no file is read. Exit code 1 when anything differs.',
  ].join('\n'),
  options: imageOptions,
  examples: [
    { command: 'onefold diff debian:12.1 debian:12.2', meaning: 'what an update changed' },
    { command: 'onefold diff app:latest rootfs:/srv/app', meaning: 'what drifted from the image' },
  ],
  async run(call) {
    usageUnless(call.operands.length === 2, 'diff takes two IMAGEs', 'diff')
    const [first = '', second = ''] = call.operands
    await using store = await openCallStore(call)
    const before = await treeOf(store, await obtainImage(call, store, first))
    const after = await treeOf(store, await obtainImage(call, store, second))
    const changes = [...diffTrees(before, after)]
    if (call.out.json) call.out.list(changes.map(changeToJson))
    else call.out.lines(changes.map(describe))
    return changes.length === 0 ? 0 : 1
  },
}

function describe(change: Change): string {
  const fields = change.kind === 'changed' ? `  (${change.fields.join(', ')})` : ''
  return `${signs[change.kind]} /${printableName(change.path)}${fields}`
}

function changeToJson(change: Change): object {
  return {
    kind: change.kind,
    ...(change.kind === 'changed' && { fields: change.fields }),
    ...(change.kind !== 'added' && { before: jsonEntry(change.path, change.before, undefined) }),
    ...(change.kind !== 'removed' && { after: jsonEntry(change.path, change.after, undefined) }),
  }
}
