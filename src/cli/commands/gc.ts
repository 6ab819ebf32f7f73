import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const gc: Command = {
  operands: '',
  about: [
    'Frees what no name, no mount and no running pull needs: records, layers, images and files. Safe beside pulls, mounts and',
    'runs; what interrupted pulls left behind goes as well.',
  ].join('\n'),
  options: { 'dry-run': { short: 'n', help: 'only tell what would go' } },
  examples: [
    { command: 'onefold gc --dry-run', meaning: 'how much there is to free' },
    { command: 'onefold rm app:1.1 && onefold gc', meaning: 'remove an image and free its space' },
  ],
  async run(call) {
    usageUnless(call.operands.length === 0, 'gc takes no operands', 'gc')
    await using store = await openCallStore(call, false)
    const dryRun = call.options.flag('dry-run')
    if (!dryRun) {
      // What is left of mounts that vanished with a reboot or umount(8) would keep their images.
      const { sweepMounts } = await import('../../mount/unmount.ts')
      sweepMounts(store)
    }
    const report = await store.gc({ dryRun, signal: call.signal })
    if (call.out.json) return call.out.value(report)
    const { records, recipes, images, blobs, objects, transactions } = report
    const parts = [
      `${records.count} records`,
      `${recipes.count} layers`,
      `${images.count} images`,
      `${blobs.count} blobs`,
      `${objects.count} objects`,
      `${transactions} dead transactions`,
    ]
    call.out.line(`${report.dryRun ? 'would free' : 'freed'} ${formatBytes(report.bytes)}: ${parts.join(', ')}`)
  },
}
