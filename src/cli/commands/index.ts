import type { Command } from '../command.ts'
import { formatBytes, parseBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import { platformOf, platformOptions, sourceOptions, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const index: Command = {
  operands: 'REFERENCE',
  about: [
    'Makes the SOCI index of an image where it lies, in a registry or an OCI layout, without touching the image: tables of',
    'contents for its large layers, and a manifest that refers to the image. Pullers that know SOCI start containers from',
    'it before the layers are there. Each layer is read once; nothing is kept in the store.',
  ].join('\n'),
  options: {
    ...platformOptions,
    'all-platforms': { help: 'index every platform of a multi-platform image' },
    'span-size': { value: 'SIZE', help: 'distance between places where decompression can start (default 4M)' },
    'min-layer-size': { value: 'SIZE', help: 'leave out layers below this (default 10M)' },
    zstd: { help: 'index zstd layers too, in a way that only onefold reads' },
    ...sourceOptions,
  },
  examples: [
    { command: 'onefold index registry.example/team/app:1.2', meaning: 'attach an index to it' },
    { command: 'onefold index --span-size 1M oci:layout:app', meaning: 'a finer one, in a layout' },
  ],
  async run({ operands, options, out, signal }) {
    const [reference] = operands
    usageUnless(reference !== undefined && operands.length === 1, 'index takes one REFERENCE', 'index')
    const { indexImage } = await import('../../transfer/index/index-image.ts')
    const sizeOf = (name: string): number | undefined => {
      const text = options.text(name)
      return text === undefined ? undefined : parseBytes(text)
    }
    using progress = showProgress(out)
    const result = await indexImage(reference, {
      platform: await platformOf(options),
      allPlatforms: options.flag('all-platforms'),
      spanSize: sizeOf('span-size'),
      minLayerSize: sizeOf('min-layer-size'),
      zstd: options.flag('zstd'),
      source: sourceOptionsOf(options, out.note, signal),
      signal,
      onProgress: progress.event,
    })
    progress.end()
    if (out.json) return out.value(result)
    for (const { image, index: made, ztocBytes, layers } of result.images) {
      const indexed = layers.filter(({ ztoc }) => ztoc !== undefined).length
      if (made !== undefined) out.line(made)
      out.note(
        `${image}: ${indexed} of ${layers.length} layers indexed` +
          (made === undefined ? '; none is large enough (--min-layer-size)' : `, ${formatBytes(ztocBytes)} of tables`),
      )
    }
  },
}
