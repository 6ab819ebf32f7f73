import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { showProgress } from '../progress.ts'
import { platformOf, platformOptions, sourceOptions, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const exportCommand: Command = {
  operands: 'IMAGE DEST',
  about: [
    'Writes an image of the store to DEST: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], or its',
    'merged tree to tar:FILE (tar:- is standard output) or to a file of a format, FORMAT:FILE. Image ID and diffIDs stay;',
    'layers are compressed anew, always to the same bytes, so that the digest of the manifest changes once: the new one is',
    'printed. An OCI layout that is there is added to; nothing shows before it is whole. Layers that were pulled in parts',
    'are copied from where they came.',
  ].join('\n'),
  options: {
    ...platformOptions,
    'all-platforms': { help: 'export every platform that the store has of a multi-platform image' },
    'preserve-digests': { help: 'fail when the digest of the manifest would change' },
    ...sourceOptions,
  },
  examples: [
    { command: 'onefold export app oci:layout:1.2', meaning: 'for skopeo, umoci and buildah' },
    { command: 'onefold export app docker-archive:app.tar:app:1.2', meaning: 'for `docker load`' },
    { command: 'onefold export app tar:- | tar -tv', meaning: 'all files as one tar' },
  ],
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 2, 'export takes an IMAGE and a DEST', 'export')
    const [name = '', destination = ''] = operands
    const allPlatforms = options.flag('all-platforms')
    usageUnless(!allPlatforms || options.text('platform') === undefined, 'choose one platform, or all', 'export')
    const { exportImage } = await import('../../transfer/send/export-image.ts')
    await using store = await openCallStore(call, false)
    using progress = showProgress(out)
    const result = await exportImage(store, name, destination, {
      platform: await platformOf(options),
      allPlatforms,
      preserveDigests: options.flag('preserve-digests'),
      origin: sourceOptionsOf(options, out.note, signal),
      signal,
      onProgress: progress.event,
      onWarning: out.note,
      stdout: out.bytes,
    })
    progress.end()
    // Standard output is taken.
    if (/^tar:-$|:\/dev\/stdout(?::|$)/.test(destination)) return
    if (out.json) return out.value(result)
    for (const image of result.images) out.line(image.manifest ?? image.config)
    if (result.images.length > 1) out.note(`index ${result.top}`)
  },
}
