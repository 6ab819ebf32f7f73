import { defineAttacher, defineFormat, defineWriter } from '../format.ts'
import { sociOptions, sociWriterOptions } from './soci-options.ts'

/** Declaration of SOCI: an index beside the layers of an image, with places where gzip can be decoded from. */
export const soci = defineFormat({
  name: 'soci',
  title: 'SOCI',
  about: 'layers as they are, with an index beside them, for the SOCI snapshotter',
  specification: 'https://github.com/awslabs/soci-snapshotter/blob/main/docs/index.md',
  imageAnnotations: /^com\.amazon\.soci\./,
  index: {
    identifies: false,
    load: async () => (await import('./soci-index.ts')).sociIndex,
  },
  writer: defineWriter({
    options: sociWriterOptions,
    coding: 'gzip',
    keepsTar: true,
    example: { options: '--min-layer-size 0', meaning: 'with an index' },
    keepsBlobs: true,
    load: async () => (await import('./soci-layers.ts')).sociLayers,
  }),
  attacher: defineAttacher({
    options: sociOptions,
    load: async () => (await import('./soci-maker.ts')).sociMaker,
  }),
})
