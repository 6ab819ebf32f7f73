import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import { platformOf, platformOptions, sourceOptions, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const push: Command = {
  operands: 'IMAGE REFERENCE',
  about: [
    'Puts an image of the store into a registry, as [HOST[:PORT]/]NAME[:TAG]. Where the registry has all blobs of the',
    'original, there or in the repository it came from, the original manifest goes up; otherwise layers are compressed',
    'anew, always to the same bytes. Image ID and diffIDs stay in any case; the digest of the manifest is printed.',
  ].join('\n'),
  options: {
    ...platformOptions,
    'all-platforms': { help: 'push every platform that the store has of a multi-platform image' },
    'preserve-digests': { help: 'fail when the digest of the manifest would change' },
    ...sourceOptions,
  },
  examples: [
    { command: 'onefold push app registry.example/team/app:1.2', meaning: 'under a new name' },
    { command: 'onefold push app docker://localhost:5000/app', meaning: 'to a registry on this machine' },
  ],
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 2, 'push takes an IMAGE and a REFERENCE', 'push')
    const [name = '', reference = ''] = operands
    const allPlatforms = options.flag('all-platforms')
    usageUnless(!allPlatforms || options.text('platform') === undefined, 'choose one platform, or all', 'push')
    const { pushImage } = await import('../../transfer/send/push-image.ts')
    const origin = sourceOptionsOf(options, out.note, signal)
    await using store = await openCallStore(call, false)
    using progress = showProgress(out)
    const result = await pushImage(store, name, reference, {
      platform: await platformOf(options),
      allPlatforms,
      preserveDigests: options.flag('preserve-digests'),
      registry: origin.registry,
      origin,
      signal,
      onProgress: progress.event,
    })
    progress.end()
    if (out.json) return out.value(result)
    out.line(result.top)
    const { blobsUploaded, bytesUploaded, blobsPresent, blobsMounted } = result.stats
    out.note(
      `${result.reference}: ${blobsUploaded} blobs uploaded (${formatBytes(bytesUploaded)}), ` +
        `${blobsPresent} there already, ${blobsMounted} mounted`,
    )
  },
}
