import type { Directory } from '../../formats/tree.ts'
import { type Change, diffTrees } from '../../image/diff-trees.ts'
import { jsonEntry } from '../../image/tree-json.ts'
import type { Store } from '../../store/store.ts'
import type { Call, Command } from '../command.ts'
import { imageOptions, obtainImage, openCallStore, treeOf } from '../image.ts'
import { printableName } from '../output.ts'
import { usageUnless } from '../usage.ts'

const signs = { added: '+', removed: '-', changed: '~' } as const
/** Letters with which `podman diff` and `docker diff` print changes. */
const letters = { added: 'A', removed: 'D', changed: 'C' } as const

export const diff: Command = {
  operands: 'IMAGE|MOUNT [IMAGE|MOUNT]',
  about: [
    'Compares two merged trees: + only in the second, - only in the first, ~ in both but not the same, followed by what',
    'differs. Contents are compared by digest, so no file of an image is read. Exit code 1 when anything differs.',
    'Images that the store does not have are pulled first.',
    '',
    'A MOUNT, by its id or the directory it is mounted on, is its image with what was changed in it. Alone it is compared',
    'with its image, and lines are those of podman diff: A added, C changed, D deleted; exit code 0.',
  ].join('\n'),
  options: imageOptions,
  examples: [
    { command: 'onefold diff debian:12.1 debian:12.2', meaning: 'what an update changed' },
    { command: 'onefold diff app:latest rootfs:/srv/app', meaning: 'what drifted from the image' },
    { command: 'onefold diff 3f9c01d2ab44', meaning: 'what a mount or a run has changed' },
    { command: 'onefold diff debian:12.2 /mnt/debian', meaning: 'how a mount differs from another image' },
  ],
  async run(call) {
    const { operands } = call
    usageUnless(operands.length === 1 || operands.length === 2, 'diff takes a MOUNT, or two IMAGEs or MOUNTs', 'diff')
    const [first = '', second] = operands
    await using store = await openCallStore(call)
    if (second === undefined) return printChanges(call, await changesOf(call, store, first))
    const before = await treeAt(call, store, first)
    const after = await treeAt(call, store, second)
    return compare(call, before, after)
  },
}

function compare({ out }: Call, before: Directory, after: Directory): number {
  const changes = [...diffTrees(before, after)]
  if (out.json) out.list(changes.map(changeToJson))
  else out.lines(changes.map(describe))
  return changes.length === 0 ? 0 : 1
}

/** Returns the changes of a mount; of a directory that was deleted or replaced only itself. */
async function changesOf(call: Call, store: Store, mount: string): Promise<Change[]> {
  const { readMount } = await import('../../library/reading.ts')
  const { before, after } = await readMount(store, mount, { signal: call.signal, onWarning: call.out.note })
  let gone: string | undefined
  return [...diffTrees(before, after)].filter((change) => {
    if (change.kind === 'removed' && gone !== undefined && change.path.startsWith(`${gone}/`)) return false
    if (change.kind === 'removed' || (change.kind === 'changed' && change.fields[0] === 'type')) gone = change.path
    return true
  })
}

function printChanges({ out }: Call, changes: readonly Change[]): void {
  if (out.json) out.list(changes.map(changeToJson))
  else out.lines(changes.map(({ kind, path }) => `${letters[kind]} /${printableName(path)}`))
}

/**
 * Returns the tree of an image or a mount. A mount's id is no name of an image in practice; a path is one of a mount
 * only where something is mounted.
 */
async function treeAt(call: Call, store: Store, text: string): Promise<Directory> {
  const { isMountOf } = await import('../../mount/find-mount.ts')
  if (!isMountOf(store, text)) return treeOf(store, await obtainImage(call, store, text))
  const { readMount } = await import('../../library/reading.ts')
  return (await readMount(store, text, { signal: call.signal, onWarning: call.out.note })).after
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
