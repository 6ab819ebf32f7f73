import { readFileSync } from 'node:fs'
import { OnefoldError, errnoOf } from '../../error.ts'
import type { ConvertOptions } from '../../transfer/convert/convert-options.ts'
import type { Command, Options } from '../command.ts'
import { imageOptions, obtainImage, openCallStore } from '../image.ts'
import { formatBytes, parseBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import { platformOf, sourceOptionsOf } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

const formats = 'estargz, zstd-chunked (podman), stargz-zstd, soci, tar+gzip, tar+zstd, tar'

export const convert: Command = {
  operands: 'IMAGE DEST',
  about: [
    'Writes an image with its layers in another format to oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REFERENCE. IMAGE',
    'is one of the store, or a source that is pulled first. The first four formats bring a table of contents, so that',
    'others can pull files that they miss instead of layers. estargz and stargz-zstd add to the tar, so diffIDs and',
    'image ID change; with the others they stay. The same bytes come out on any machine. The digest of the manifest, or of',
    'the index, is printed. Layers that were pulled in parts have to be fetched first: onefold verify --fetch.',
  ].join('\n'),
  options: {
    to: { value: 'FORMAT', help: formats },
    level: { value: 'N', help: 'compress harder: gzip 1 to 9 (default 6), zstd 1 to 19 (default 3)' },
    'chunk-size': { value: 'SIZE', help: 'estargz, stargz-zstd: cut files into chunks of this size (default 4M)' },
    'min-chunk-size': { value: 'SIZE', help: 'estargz, stargz-zstd: join small files until they have this size' },
    'external-toc': { help: 'estargz: put tables into a second image, named DEST-esgztoc' },
    'keep-diff-id': { help: 'with --external-toc, or stargz-zstd: leave tars, diffIDs and image ID as they are' },
    prioritized: { value: 'FILE', help: 'estargz, stargz-zstd: paths, one in a line, that are read first' },
    'span-size': { value: 'SIZE', help: 'soci: distance between places where decompression can start (default 4M)' },
    'min-layer-size': { value: 'SIZE', help: 'soci: no table for layers below this (default 10M)' },
    zstd: { help: 'soci: index zstd layers as they are, in a way that only onefold reads' },
    lossy: { help: 'write the nearest that the format can hold instead of refusing what it cannot' },
    ...imageOptions,
    'all-platforms': { help: 'convert every platform of a multi-platform image' },
  },
  examples: [
    { command: 'onefold convert app --to zstd-chunked oci:layout:app', meaning: 'for podman to pull by parts' },
    {
      command: 'onefold convert app --to estargz --prioritized boot.txt docker://registry.example/app:esgz',
      meaning: 'for the stargz snapshotter',
    },
    {
      command: 'onefold convert oci:layout:app --to soci docker://registry.example/app:soci',
      meaning: 'with an index',
    },
  ],
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 2, 'convert takes an IMAGE and a DEST', 'convert')
    const [name = '', destination = ''] = operands
    const allPlatforms = options.flag('all-platforms')
    usageUnless(!allPlatforms || options.text('platform') === undefined, 'choose one platform, or all', 'convert')
    const { convertFormats, checkConvertOptions } = await import('../../transfer/convert/convert-options.ts')
    const format = convertFormats.find((known) => known === options.text('to'))
    usageUnless(format !== undefined, `--to is one of ${formats}`, 'convert')
    const chosen = choicesOf(options)
    checkConvertOptions(format, chosen)
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
    if (result.externalToc !== undefined) out.note(`tables ${result.externalToc}`)
  },
}

/** Options that are about the format. */
function choicesOf(options: Options): ConvertOptions {
  const sizeOf = (name: string): number | undefined => {
    const text = options.text(name)
    return text === undefined ? undefined : parseBytes(text)
  }
  const level = options.text('level')
  const prioritized = options.text('prioritized')
  return {
    level: level === undefined ? undefined : Number(level),
    chunkSize: sizeOf('chunk-size'),
    minChunkSize: sizeOf('min-chunk-size'),
    externalToc: options.flag('external-toc'),
    keepDiffId: options.flag('keep-diff-id'),
    prioritized: prioritized === undefined ? undefined : linesOf(prioritized),
    spanSize: sizeOf('span-size'),
    minLayerSize: sizeOf('min-layer-size'),
    zstd: options.flag('zstd'),
    lossy: options.flag('lossy'),
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split(/\r?\n/)
      .filter((line) => line !== '')
  } catch (error) {
    const errno = errnoOf(error)
    const code = errno === 'ENOENT' ? 'NOT_FOUND' : 'IO'
    throw new OnefoldError(code, `Cannot read the list of paths ${JSON.stringify(path)}: ${errno}`, { cause: error })
  }
}
