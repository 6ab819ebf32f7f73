import { dirname } from 'node:path'
import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { usageUnless } from '../usage.ts'

export const umount: Command = {
  operands: 'TARGET|ID …',
  about:
    'Unmounts images, by where they are mounted or by id. Changes are kept in the store unless --discard says otherwise.',
  options: {
    discard: { help: 'throw the changes away; also removes kept changes of an ID that is not mounted' },
    lazy: { help: 'take the mount out of sight even while files in it are open' },
  },
  examples: [
    { command: 'onefold umount /mnt/alpine', meaning: 'by target' },
    { command: 'onefold umount --discard 3f9c01d2ab44', meaning: 'by id, with its changes' },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length > 0, 'umount takes at least one TARGET or ID', 'umount')
    await using store = await openCallStore(call, false)
    const { unmountImage } = await import('../../mount/unmount.ts')
    const unmounted = operands.map((which) =>
      unmountImage(store, which, { discard: options.flag('discard'), lazy: options.flag('lazy') }),
    )
    if (out.json) return out.value(unmounted.map(({ id, kept }) => ({ id, kept: kept ?? null })))
    for (const { id, kept } of unmounted) {
      if (kept === undefined) continue
      const isOurs = kept.startsWith(`${store.root}/`)
      out.note(`changes are kept in ${kept}; mount them again with --upper ${isOurs ? id : dirname(kept)}`)
    }
  },
}
