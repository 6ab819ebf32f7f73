import type { Command } from '../command.ts'
import { parseDuration } from '../duration.ts'
import { openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import { usageUnless } from '../usage.ts'

export const gc: Command = {
  operands: '',
  about: [
    'Frees what no name, no mount and no running pull needs: records, layers, images and files. Safe beside pulls, mounts and',
    'runs; what interrupted pulls left behind goes as well. It needs no free space to begin with.',
    '',
    'With --keep-younger-than, an image without a name stays, whole, until that long after it was pulled or lost its last',
    'name; what belongs to no image stays until that long after it was written. DURATION is a number and a unit: s, m, h, d, w.',
  ].join('\n'),
  options: {
    'dry-run': { short: 'n', help: 'only tell what would go' },
    'keep-younger-than': { value: 'DURATION', help: 'spare what was needed less than that ago (12h, 7d)' },
  },
  examples: [
    { command: 'onefold gc --dry-run', meaning: 'how much there is to free' },
    { command: 'onefold rm app:1.1 && onefold gc', meaning: 'remove an image and free its space' },
    { command: 'onefold gc --keep-younger-than 7d', meaning: 'keep a week to change your mind' },
  ],
  async run(call) {
    usageUnless(call.operands.length === 0, 'gc takes no operands', 'gc')
    const age = call.options.text('keep-younger-than')
    const keepYoungerThan = age === undefined ? undefined : parseDuration(age)
    await using store = await openCallStore(call, false)
    const dryRun = call.options.flag('dry-run')
    if (!dryRun) {
      // What is left of mounts that vanished with a reboot or umount(8) would keep their images.
      const { sweepMounts } = await import('../../mount/unmount.ts')
      sweepMounts(store)
    }
    using progress = showProgress(call.out)
    progress.event({ type: 'step', step: 'collecting garbage' })
    const report = await store.gc({ dryRun, keepYoungerThan, signal: call.signal })
    progress.end()
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
    call.out.line(`${report.dryRun ? 'would free' : 'freed'} ${formatBytes(report.freed)}: ${parts.join(', ')}`)
  },
}
