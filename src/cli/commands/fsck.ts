import type { Command } from '../command.ts'
import { exitCodes } from '../globals.ts'
import { openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const fsck: Command = {
  operands: '',
  about: [
    'Checks everything the store claims: objects, recipes, images and blobs against their names, records and names against',
    'what they lead to. Changes nothing. Exit code 0 when there is no damage, 4 when there is. To mend it: delete the damaged',
    'file, remove the images that it affects (onefold rm), collect garbage (onefold gc), and pull them again.',
  ].join('\n'),
  options: { rebuild: { help: "also build every layer's tar again and hash it against its diffID" } },
  examples: [
    { command: 'onefold fsck', meaning: 'before trusting a disk again' },
    { command: 'onefold fsck --json | jq .damage', meaning: 'what is damaged, for a script' },
  ],
  async run(call) {
    usageUnless(call.operands.length === 0, 'fsck takes no operands', 'fsck')
    await using store = await openCallStore(call, false)
    const report = await store.fsck({ rebuild: call.options.flag('rebuild'), signal: call.signal })
    const code = report.clean ? exitCodes.ok : exitCodes.damage
    if (call.out.json) {
      call.out.value(report)
      return code
    }
    for (const { kind, name, problem, images } of report.damage)
      call.out.line(`${kind} ${name}: ${problem}${images.length === 0 ? '' : `; affects ${images.join(', ')}`}`)
    for (const stray of report.strays) call.out.line(`stray file ${JSON.stringify(stray)}`)
    const { objects, objectBytes, recipes, images, blobs, records, refs } = report.checked
    call.out.note(
      `checked ${objects} objects (${formatBytes(objectBytes)}), ${recipes} layers, ${images} images, ${blobs} blobs, ` +
        `${records} records and ${refs} names: ${report.clean ? 'no damage' : `${report.damage.length} damaged`}`,
    )
    return code
  },
}
