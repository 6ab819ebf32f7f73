import type { OptionSpecs, OptionsOf } from '../format-options.ts'
import { lossyOption } from './loss-option.ts'

/** Bytes of content in a chunk of stargz-snapshotter's writer, unless told otherwise. */
export const defaultChunkSize = 4 * 2 ** 20

/** Smaller chunks would take more room for what is said of them than for themselves. */
const chunkSizeMin = 4096

/** Options in either coding. */
export const stargzOptions = {
  chunkSize: {
    kind: 'size',
    min: chunkSizeMin,
    default: defaultChunkSize,
    help: 'cut files into chunks of this size',
  },
  minChunkSize: { kind: 'size', help: 'join small files until they have this size' },
  keepDiffId: { kind: 'flag', help: 'leave tars, diffIDs and image ID as they are' },
  prioritized: { kind: 'paths', help: 'paths, one in a line, that are read first' },
  lossy: lossyOption,
} as const satisfies OptionSpecs

/** Says what does not go with a tar that stays as it is. */
export function checkKeptTar(options: OptionsOf<typeof stargzOptions>): string | undefined {
  if (options.keepDiffId !== true) return undefined
  if (options.prioritized !== undefined) return '--keep-diff-id does not go with --prioritized, which changes the tar'
  return options.lossy === true ? '--keep-diff-id does not go with --lossy, which changes the tar' : undefined
}
