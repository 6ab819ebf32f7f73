import { defineFormat, defineWriter } from '../format.ts'
import { checkKeptTar, stargzOptions } from '../toc-json/stargz-options.ts'
import { stargzZstdBinding } from './stargz-zstd-binding.ts'

/** The table of eStargz over zstd frames: stargz' own dialect of zstd:chunked, which Podman does not read. */
export const stargzZstd = defineFormat({
  name: 'stargz-zstd',
  title: "stargz' zstd:chunked",
  about: 'zstd with a table of contents, for the stargz snapshotter',
  specification: 'https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md',
  layerAnnotations: /^(?:containerd\.io\/snapshot\/|io\.containers\.estargz\.|io\.containers\.zstd-chunked\.)/,
  binding: stargzZstdBinding,
  index: {
    identifies: true,
    load: async () => (await import('./stargz-zstd-index.ts')).stargzZstdIndex,
  },
  writer: defineWriter({
    options: stargzOptions,
    coding: 'zstd',
    keepsTar: false,
    check: checkKeptTar,
    first: ({ prioritized = [] }) => prioritized,
    load: async () => (await import('./stargz-zstd-layers.ts')).stargzZstdLayers,
  }),
})
