/** Compression of a unit of a blob. */
export type Coding =
  /** Bytes as they are. */
  | { readonly kind: 'stored' }
  /** Gzip members (RFC 1952). */
  | { readonly kind: 'gzip' }
  /** Zstandard frames (RFC 8878). */
  | { readonly kind: 'zstd' }
  /**
   * Gzip from the middle of a member: the highest `bits` bits of the first byte belong to it (0: all of the first byte),
   * and `window` is the output before it. Further members may follow.
   */
  | { readonly kind: 'deflate'; readonly bits: number; readonly window: Uint8Array }

export const zstd: Coding = { kind: 'zstd' }
