import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { showProgress } from '../progress.ts'
import { platformOf, platformOptions } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const seal: Command = {
  operands: 'IMAGE [NAME]',
  about: [
    'Writes the digest of the tree of an image into its manifest, as annotation containers.composefs.fsverity, under NAME or',
    'the same name. Push or export it then: who signs that manifest signs every file, and who pulls the image has its',
    'layers compared with it. Blobs, config and image ID stay; the manifest gets another digest, which is printed.',
  ].join('\n'),
  options: {
    ...platformOptions,
    'all-platforms': { help: 'seal every platform that the store has of a multi-platform image' },
  },
  examples: [
    { command: 'onefold seal app app:sealed', meaning: 'beside the image as it was' },
    { command: 'onefold seal app && onefold push app registry.example/team/app:1.2', meaning: 'and send it' },
  ],
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 1 || operands.length === 2, 'seal takes IMAGE and perhaps NAME', 'seal')
    const [image = '', name] = operands
    const allPlatforms = options.flag('all-platforms')
    usageUnless(!allPlatforms || options.text('platform') === undefined, 'choose one platform, or all', 'seal')
    const { sealImage } = await import('../../transfer/seal/seal-image.ts')
    await using store = await openCallStore(call, false)
    const platform = await platformOf(options)
    using progress = showProgress(out)
    progress.event({ type: 'step', step: 'sealing' })
    const result = await sealImage(store, image, { name, platform, allPlatforms, signal })
    progress.end()
    if (out.json) return out.value(result)
    out.line(result.top)
    for (const { image: digest, platform: of } of result.images) out.note(`${result.name}: ${of} sealed as ${digest}`)
  },
}
