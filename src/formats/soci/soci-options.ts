import type { OptionSpecs } from '../format-options.ts'
import { lossyOption } from '../toc-json/loss-option.ts'

/** Options wherever an index is made. */
export const sociOptions = {
  spanSize: {
    kind: 'size',
    min: 64 * 1024,
    max: 2 ** 30,
    default: 4 * 2 ** 20,
    help: 'distance between places where decompression can start',
  },
  minLayerSize: {
    kind: 'size',
    default: 10 * 2 ** 20,
    help: 'no table for layers below this',
  },
  zstd: { kind: 'flag', help: 'index zstd layers too, in a way that only onefold reads' },
} as const satisfies OptionSpecs

export const sociWriterOptions = { ...sociOptions, lossy: lossyOption } as const satisfies OptionSpecs
