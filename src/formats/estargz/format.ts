import { defineFormat } from '../format.ts'
import { stargzAnnotations } from '../toc-json/toc-annotations.ts'
import { estargzBinding } from './estargz-binding.ts'

/** eStargz: a gzip layer whose files begin gzip members of their own, with a table of contents. */
export const estargz = defineFormat({
  name: 'estargz',
  title: 'eStargz',
  about: 'gzip with a table of contents, for the stargz snapshotter; any other client pulls it whole',
  specification: 'https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md',
  layerAnnotations: stargzAnnotations,
  binding: estargzBinding,
  index: {
    identifies: true,
    load: async () => (await import('./estargz-index.ts')).estargzIndex,
  },
})
