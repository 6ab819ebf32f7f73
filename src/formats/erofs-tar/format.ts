import { defineFormat, defineWriter } from '../format.ts'
import { erofsTarOptions } from './erofs-tar-options.ts'
import { erofsTarAnnotations, erofsTarBinding } from './tar-index-annotations.ts'

/** An uncompressed tar with an EROFS index over it, by which the kernel mounts the tar as it is. */
export const erofsTar = defineFormat({
  name: 'erofs-tar',
  title: 'EROFS over tar',
  about: 'plain tars with an EROFS index beside them, to be mounted as they are; any client pulls them whole',
  specification: 'https://docs.kernel.org/filesystems/erofs.html',
  layerAnnotations: erofsTarAnnotations,
  binding: erofsTarBinding,
  index: {
    identifies: false,
    load: async () => (await import('./tar-index-reader.ts')).tarIndexReader,
  },
  writer: defineWriter({
    options: erofsTarOptions,
    coding: 'none',
    keepsTar: true,
    load: async () => (await import('./erofs-tar-layers.ts')).erofsTarLayers,
  }),
  file: { load: async () => (await import('./erofs-tar-file.ts')).erofsTarFile },
})
