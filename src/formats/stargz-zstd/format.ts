import { defineFormat } from '../format.ts'
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
})
