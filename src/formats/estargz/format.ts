import { defineFormat, defineWriter } from '../format.ts'
import { stargzAnnotations } from '../toc-json/toc-annotations.ts'
import { estargzBinding } from './estargz-binding.ts'
import { checkEstargzOptions, estargzOptions } from './estargz-options.ts'

/** eStargz: a gzip layer whose files begin gzip members of their own, with a table of contents. */
export const estargz = defineFormat({
  name: 'estargz',
  title: 'eStargz',
  about: 'gzip with a table of contents, for the stargz snapshotter',
  specification: 'https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md',
  layerAnnotations: stargzAnnotations,
  binding: estargzBinding,
  index: {
    identifies: true,
    load: async () => (await import('./estargz-index.ts')).estargzIndex,
  },
  writer: defineWriter({
    options: estargzOptions,
    coding: 'gzip',
    keepsTar: false,
    example: { options: '--prioritized boot.txt', meaning: 'for the stargz snapshotter' },
    check: checkEstargzOptions,
    needsName: ({ externalToc }) => externalToc === true,
    first: ({ prioritized = [] }) => prioritized,
    load: async () => (await import('./estargz-layers.ts')).estargzLayers,
  }),
})
