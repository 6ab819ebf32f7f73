/**
 * Limits on what a tar may ask for. All of it is the archive's to choose, so all of it has a bound that its reader can
 * set.
 */
export interface TarLimits {
  /** Size of one file, holes included, in bytes. */
  readonly maxEntrySize?: number
  /** Size of all files together, holes included, in bytes. */
  readonly maxTotal?: number
  readonly maxEntries?: number
  /** Size of extended headers (pax, GNU long names) in front of one entry, in bytes. */
  readonly maxPaxBytes?: number
  /** Number of parts of one sparse file. */
  readonly maxSparseRanges?: number
  /** Number of bytes after the end marker. */
  readonly maxTrailing?: number
}

export interface TarOptions extends TarLimits {
  /**
   * Tells whether a global pax header (typeflag g) says something about the entries after it. POSIX and GNU tar: yes.
   * Go's archive/tar, hence every container engine, and libarchive: no, and so a layer means what it means to them.
   */
  readonly globalHeaders?: 'ignore' | 'apply'
  /**
   * Tells whether a FIFO that star's record `SCHILY.filetype` calls a socket is one. No container engine looks at the
   * record, so in a layer it says nothing; in a tar of a plain tree, also in those made here, it keeps what a tar
   * cannot hold.
   */
  readonly fileTypes?: 'ignore' | 'apply'
}

const GiB = 2 ** 30

export const defaultTarLimits: Required<TarLimits> = {
  maxEntrySize: 256 * GiB,
  maxTotal: 1024 * GiB,
  maxEntries: 4_000_000,
  maxPaxBytes: 2 ** 20,
  maxSparseRanges: 100_000,
  maxTrailing: 64 * 2 ** 20,
}

/** No limits, for a tar that was read with limits before. */
export const noTarLimits: Required<TarLimits> = {
  maxEntrySize: Number.MAX_SAFE_INTEGER,
  maxTotal: Number.POSITIVE_INFINITY,
  maxEntries: Number.POSITIVE_INFINITY,
  maxPaxBytes: 2 ** 30, // allocated as a whole; no recipe is larger
  maxSparseRanges: Number.POSITIVE_INFINITY,
  maxTrailing: Number.POSITIVE_INFINITY,
}
