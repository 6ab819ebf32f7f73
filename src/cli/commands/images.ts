import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const images: Command = {
  operands: '',
  about: [
    'Lists the images of the store by name. SIZE is that of all files in the image, as if nothing were shared; PULLED is',
    'what its layers weigh in a registry.',
  ].join('\n'),
  options: { digests: { help: 'whole digests' } },
  examples: [
    { command: 'onefold images', meaning: 'all images' },
    { command: "onefold images --json | jq -r '.[].name'", meaning: 'their names, for a script' },
  ],
  async run(call) {
    const { out, options } = call
    usageUnless(call.operands.length === 0, 'images takes no operands', 'images')
    await using store = await openCallStore(call, false)
    const listed = store.list()
    if (out.json)
      return out.value(
        listed.map(({ name, record, imageDigest, size, compressedSize }) => ({
          name,
          manifest: record.manifest.digest,
          config: record.config.digest,
          image: imageDigest ?? null,
          platform: formatPlatform(record.platform),
          size,
          compressedSize,
        })),
      )
    const shown = (digest: string): string =>
      options.flag('digests') ? digest : digest.replace(/^.*:/, '').slice(0, 12)
    out.table(
      ['NAME', 'MANIFEST', 'PLATFORM', 'SIZE', 'PULLED'],
      listed.map(({ name, record, size, compressedSize }) => [
        name,
        shown(record.manifest.digest),
        formatPlatform(record.platform),
        formatBytes(size),
        formatBytes(compressedSize),
      ]),
    )
  },
}
