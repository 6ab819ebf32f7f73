import { formatPlatform } from '../../formats/oci/platform.ts'
import type { StoreUse } from '../../store/store.ts'
import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const du: Command = {
  operands: '',
  about: [
    'Shows what images and the store take on the disk: whole blocks, and blocks that several files share once.',
    '',
    'TOTAL is what an image needs, UNIQUE what no other image needs, SHARED the rest. RECLAIM is what "onefold rm NAME" and',
    '"onefold gc" would free: nothing while another name leads to the image, or a mount or a pull uses it.',
  ].join('\n'),
  options: { bytes: { short: 'b', help: 'exact numbers' } },
  examples: [
    { command: 'onefold du', meaning: 'every image, then the parts of the store' },
    { command: "onefold du --json | jq '.store.reclaimable'", meaning: 'bytes that gc would free now' },
  ],
  async run(call) {
    const { out, options } = call
    usageUnless(call.operands.length === 0, 'du takes no operands', 'du')
    await using store = await openCallStore(call, false)
    const use = await store.du()
    if (out.json) return out.value(use)
    const shown = (bytes: number): string => (options.flag('bytes') ? String(bytes) : formatBytes(bytes))
    out.table(
      ['NAME', 'PLATFORM', 'TOTAL', 'UNIQUE', 'SHARED', 'RECLAIM'],
      use.images.map(({ name, platform, total, unique, shared, reclaimable }) => [
        name,
        formatPlatform(platform),
        ...[total, unique, shared, reclaimable].map(shown),
      ]),
    )
    out.line('')
    out.table(
      ['STORE', 'SIZE'],
      lines.map(([part, label]) => [label, shown(use.store[part])]),
    )
  },
}

const lines: readonly (readonly [keyof StoreUse, string])[] = [
  ['objects', 'objects'],
  ['recipes', 'layers'],
  ['images', 'images'],
  ['blobs', 'blobs'],
  ['records', 'records'],
  ['refs', 'names'],
  ['tmp', 'unfinished'],
  ['mounts', 'mounts'],
  ['index', 'index'],
  ['other', 'other'],
  ['total', 'total'],
  ['reclaimable', 'of it gc would free'],
]
