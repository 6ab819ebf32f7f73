import type { Origin } from './origin.ts'

/** Units of the index's own blobs: fetched, decoded, and as far into each as is wanted. */
export const blobUnits: Origin<number> = {
  counts: 'missingBytes',
  isShared: false,
  find: ({ unit }) => unit,
  open: ({ units }) => ({
    async deliver({ skip, length }, unit, sink) {
      for await (const bytes of units.read(unit, skip, length)) sink.write(bytes)
    },
    [Symbol.dispose]() {},
  }),
}
