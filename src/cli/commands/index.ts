import { loadAttachable } from '../../formats/all.ts'
import type { Command } from '../command.ts'
import { chosenOptions, formatOptionSpecs } from '../format-options.ts'
import { formatBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import { platformOf, platformOptions, sourceOptions, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

const formats = await loadAttachable()
const names = formats.map(({ name }) => name)

export const index: Command = {
  operands: 'REFERENCE',
  about: [
    'Makes an index of an image where it lies, in a registry or an OCI layout, without touching the image: tables of',
    'contents for its large layers, and a manifest that refers to the image. Pullers that know such an index start',
    'containers from it before the layers are there. Each layer is read once; nothing is kept in the store.',
  ].join('\n'),
  glossary: { title: 'Formats', terms: formats.map(({ name, about }) => ({ term: name, meaning: about })) },
  options: {
    format: {
      value: 'FORMAT',
      choices: names,
      help: names.length === 1 ? `the kind of index (default ${names[0]})` : names.join(', '),
    },
    ...formatOptionSpecs(formats.map(({ name, attacher }) => ({ name, options: attacher.options }))),
    ...platformOptions,
    'all-platforms': { help: 'index every platform of a multi-platform image' },
    ...sourceOptions,
  },
  examples: [
    { command: 'onefold index registry.example/team/app:1.2', meaning: 'attach an index to it' },
    {
      command: 'onefold index --platform linux/arm64 oci:layout:app',
      meaning: 'to the image of another platform, in a layout',
    },
  ],
  async run({ operands, options, out, signal }) {
    const [reference] = operands
    usageUnless(reference !== undefined && operands.length === 1, 'index takes one REFERENCE', 'index')
    const wanted = options.text('format')
    const format = names.find((known) => known === wanted)
    usageUnless(wanted === undefined || format !== undefined, `--format is one of ${names.join(', ')}`, 'index')
    const chosen = chosenOptions(options, Object.assign({}, ...formats.map(({ attacher }) => attacher.options)))
    const { indexImage } = await import('../../transfer/index/index-image.ts')
    using progress = showProgress(out)
    const result = await indexImage(reference, {
      ...chosen,
      format,
      platform: await platformOf(options),
      allPlatforms: options.flag('all-platforms'),
      source: sourceOptionsOf(options, out.note, signal),
      signal,
      onProgress: progress.event,
    })
    progress.end()
    if (out.json) return out.value(result)
    for (const { image, index: made, tableBytes, layers } of result.images) {
      const indexed = layers.filter(({ table }) => table !== undefined).length
      if (made !== undefined) out.line(made)
      out.note(
        `${image}: ${indexed} of ${layers.length} layers indexed` +
          (made === undefined ? '; none is large enough' : `, ${formatBytes(tableBytes)} of tables`),
      )
    }
  },
}
