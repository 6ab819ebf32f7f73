import { loadWritable } from '../../formats/all.ts'
import { levelOption } from '../../formats/format-options.ts'
import { writerOptions } from '../../formats/format.ts'
import type { Command } from '../command.ts'
import { chosenOptions, formatOptionSpecs } from '../format-options.ts'
import { imageOptions, obtainImage, openCallStore } from '../image.ts'
import { formatBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import { platformOf, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

const formats = await loadWritable()
const names = formats.map(({ name }) => name)
const levels = (['gzip', 'zstd'] as const).map((coding) => {
  const { min, max, default: usual } = levelOption(coding)
  return `${coding} ${min} to ${max} (default ${usual})`
})

export const convert: Command = {
  operands: 'IMAGE DEST',
  about: [
    'Writes an image with its layers in another format to oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REFERENCE.',
    'IMAGE is one of the store, or a source that is pulled first. Formats with a table of contents let others pull files',
    'that they miss instead of layers. The same bytes come out on any machine. The digest of the manifest, or of the',
    'index, is printed. Layers that were pulled in parts have to be fetched first: onefold verify --fetch.',
  ].join('\n'),
  glossary: {
    title: 'Formats',
    terms: formats.map(({ name, about, writer }) => ({
      term: name,
      meaning: writer.keepsTar ? about : `${about}; diffIDs and image ID change`,
    })),
  },
  options: {
    to: { value: 'FORMAT', choices: names, help: names.join(', ') },
    level: { value: 'N', help: `compress harder: ${levels.join(', ')}` },
    ...formatOptionSpecs(formats.map(({ name, writer }) => ({ name, options: writer.options }))),
    ...imageOptions,
    'all-platforms': { help: 'convert every platform of a multi-platform image' },
  },
  examples: formats.flatMap(({ name, writer: { example } }) => {
    if (example === undefined) return []
    const command = `onefold convert app --to ${name} ${example.options} docker://registry.example/app:${name}`
    return [{ command, meaning: example.meaning }]
  }),
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 2, 'convert takes an IMAGE and a DEST', 'convert')
    const [name = '', destination = ''] = operands
    const allPlatforms = options.flag('all-platforms')
    usageUnless(!allPlatforms || options.text('platform') === undefined, 'choose one platform, or all', 'convert')
    const format = names.find((known) => known === options.text('to'))
    usageUnless(format !== undefined, `--to is one of ${names.join(', ')}`, 'convert')
    const chosen = chosenOptions(options, Object.assign({}, ...formats.map(({ writer }) => writerOptions(writer))))
    const { chooseFormat } = await import('../../transfer/convert/convert-options.ts')
    await chooseFormat(format, chosen)
    const { convertImage } = await import('../../transfer/convert/convert-image.ts')
    await using store = await openCallStore(call)
    await obtainImage(call, store, name, { allPlatforms, partial: 'never' })
    using progress = showProgress(out)
    const result = await convertImage(store, name, format, destination, {
      ...chosen,
      platform: await platformOf(options),
      allPlatforms,
      source: sourceOptionsOf(options, out.note, signal),
      signal,
      onProgress: progress.event,
      onWarning: out.note,
    })
    progress.end()
    if (out.json) return out.value(result)
    out.line(result.top)
    for (const { platform, layers } of result.images)
      out.note(`${platform}: ${layers.length} layers, ${formatBytes(layers.reduce((sum, { size }) => sum + size, 0))}`)
    if (result.companion !== undefined) out.note(`beside it ${result.companion}`)
  },
}
