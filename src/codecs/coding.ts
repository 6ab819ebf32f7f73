/** Compression of a unit of a blob. */
export type Coding =
  /** Bytes as they are. */
  | { readonly kind: 'stored' }
  /** Gzip members (RFC 1952). */
  | { readonly kind: 'gzip' }
  /** Zstandard frames (RFC 8878). */
  | { readonly kind: 'zstd' }
  /**
   * Gzip from the middle of a member: the highest `bits` bits of the first byte belong to it (0: all of the first
   * byte), and `window` is the output before it. Further members may follow.
   */
  | { readonly kind: 'deflate'; readonly bits: number; readonly window: Uint8Array }

export const zstd: Coding = { kind: 'zstd' }

/** How members are compressed that can each be decoded alone. */
export type MemberCoding = 'gzip' | 'zstd'

/** The levels that each coding has. */
export const memberLevels: Readonly<Record<MemberCoding, { min: number; max: number; usual: number }>> = {
  gzip: { min: 1, max: 9, usual: 6 },
  zstd: { min: 1, max: 19, usual: 3 },
}
