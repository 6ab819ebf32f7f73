/** Annotations of layers in stargz' own dialect of zstd:chunked, beside those that it shares with eStargz. */

/** Digest of the *compressed* table. */
export const stargzZstdChecksum = 'io.containers.zstd-chunked.manifest-checksum'
/** "offset:bytes:bytes decoded:1" of the table. */
export const stargzZstdPosition = 'io.containers.zstd-chunked.manifest-position'
