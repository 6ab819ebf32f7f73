import type { Command } from '../command.ts'
import { deriveOptions, deriveOptionsOf, printDerived } from '../derive.ts'
import { openCallStore } from '../image.ts'
import { showProgress } from '../progress.ts'
import { limitOptions } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const commit: Command = {
  operands: 'MOUNT NAME',
  about: [
    'Makes what a writable mount, or a run that was kept, has changed one more layer, and the whole a new image called NAME.',
    'MOUNT is its id or the directory it is mounted on (see: onefold mounts --all); nothing happens to it. The same changes',
    'give the same layer on any machine; with --timestamp the image is the same as well.',
    '',
    'What is mounted is neither paused nor copied first: while something writes to it, the commit fails and leaves nothing',
    'behind. Sockets, trusted.* attributes and SELinux labels are no part of a layer. What was changed can be seen before:',
    'onefold diff MOUNT.',
  ].join('\n'),
  options: { ...deriveOptions, ...limitOptions },
  examples: [
    { command: 'onefold commit /mnt/debian debian:tuned -m "turn off IPv6"', meaning: 'of a mount' },
    {
      command: `onefold commit 3f9c01d2ab44 app -c 'CMD ["/bin/app"]' -c 'ENV LANG=C'`,
      meaning: 'of a kept run, with another config',
    },
  ],
  async run(call) {
    usageUnless(call.operands.length === 2, 'commit takes a MOUNT and a NAME', 'commit')
    const [mount = '', name = ''] = call.operands
    const { commit: commitMount } = await import('../../library/committing.ts')
    await using store = await openCallStore(call, false)
    using progress = showProgress(call.out)
    const image = await commitMount(store, mount, name, deriveOptionsOf(call, progress))
    progress.end()
    printDerived(call, image)
  },
}
