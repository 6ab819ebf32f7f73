import { defineFormat, defineWriter } from '../format.ts'
import { chunkedBinding } from './chunked-binding.ts'
import { chunkedOptions } from './chunked-options.ts'

/** Declaration of zstd:chunked as containers/storage has it: zstd frames, a table of contents and a tar-split. */
export const zstdChunked = defineFormat({
  name: 'zstd-chunked',
  title: 'zstd:chunked',
  about: 'zstd with a table of contents, for Podman and CRI-O',
  specification: 'https://github.com/containers/storage/blob/main/docs/containers-storage-zstd-chunked.md',
  layerAnnotations: /^io\.github\.containers\.zstd-chunked\./,
  binding: chunkedBinding,
  index: {
    identifies: true,
    load: async () => (await import('./chunked-index.ts')).chunkedIndex,
  },
  writer: defineWriter({
    options: chunkedOptions,
    coding: 'zstd',
    keepsTar: true,
    example: { options: '--level 12', meaning: 'for podman to pull by parts' },
    load: async () => (await import('./chunked-layers.ts')).chunkedLayers,
  }),
})
