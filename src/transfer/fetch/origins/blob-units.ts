import type { Origin } from './origin.ts'

/** Origin of extents in units of the index's own blobs: fetched, and decoded as far into each unit as is wanted. */
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
