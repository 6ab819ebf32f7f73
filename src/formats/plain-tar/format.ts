/** Layers without a table: the tar as it is, or compressed. */
import { defineFormat, defineWriter } from '../format.ts'

const specification = 'https://github.com/opencontainers/image-spec/blob/main/layer.md'

export const tarGzip = defineFormat({
  name: 'tar+gzip',
  title: 'tar, gzip',
  about: 'what every client pulls',
  specification,
  writer: defineWriter({
    options: {},
    coding: 'gzip',
    keepsTar: true,
    load: async () => (await import('./plain-layers.ts')).gzipLayers,
  }),
})

export const tarZstd = defineFormat({
  name: 'tar+zstd',
  title: 'tar, zstd',
  about: 'smaller and faster than gzip, for clients since 2020',
  specification,
  writer: defineWriter({
    options: {},
    coding: 'zstd',
    keepsTar: true,
    load: async () => (await import('./plain-layers.ts')).zstdLayers,
  }),
})

export const tar = defineFormat({
  name: 'tar',
  title: 'tar',
  about: 'not compressed, for stores that compress or deduplicate by themselves',
  specification,
  writer: defineWriter({
    options: {},
    coding: 'none',
    keepsTar: true,
    load: async () => (await import('./plain-layers.ts')).tarLayers,
  }),
})
