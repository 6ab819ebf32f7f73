import type { OptionSpecs, OptionsOf } from '../format-options.ts'
import { checkKeptTar, stargzOptions } from '../toc-json/stargz-options.ts'

const { chunkSize, minChunkSize, keepDiffId, prioritized, lossy } = stargzOptions

export const estargzOptions = {
  chunkSize,
  minChunkSize,
  externalToc: { kind: 'flag', help: 'put tables into a second image, named DEST-esgztoc, so that tars can be kept' },
  keepDiffId,
  prioritized,
  lossy,
} as const satisfies OptionSpecs

export function checkEstargzOptions(options: OptionsOf<typeof estargzOptions>): string | undefined {
  if (options.keepDiffId === true && options.externalToc !== true)
    return '--keep-diff-id goes with --external-toc: a table inside the tar changes it'
  return checkKeptTar(options)
}
