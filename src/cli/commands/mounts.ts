import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { usageUnless } from '../usage.ts'

export const mounts: Command = {
  operands: '',
  about: [
    'Lists images mounted from this store. With --all also those of other mount namespaces, changes kept from mounts that',
    'were taken away, and mounts that vanished by a reboot or umount(8).',
  ].join('\n'),
  options: { all: { short: 'a', help: 'also what is not mounted here' } },
  examples: [
    { command: 'onefold mounts', meaning: 'what is mounted' },
    { command: 'onefold mounts --all --json', meaning: 'and what is kept, for a script' },
  ],
  async run(call) {
    usageUnless(call.operands.length === 0, 'mounts takes no operands', 'mounts')
    await using store = await openCallStore(call, false)
    const { listMounts } = await import('../../mount/mount-status.ts')
    const found = listMounts(store).filter(({ state }) => state === 'mounted' || call.options.flag('all'))
    if (call.out.json) return call.out.value(found.map((mount) => ({ ...mount, upper: mount.upper ?? null })))
    call.out.table(
      ['ID', 'IMAGE', 'STATE', 'ACCESS', 'TARGET'],
      found.flatMap(({ id, name, state, rw, targets }) =>
        targets.map((target) => [id, name, state, rw ? 'rw' : 'ro', target]),
      ),
    )
  },
}
