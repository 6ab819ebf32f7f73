/** Annotations of layers in the dialect of zstd:chunked that containers/storage writes and reads. */

/** Digest of the *compressed* table. */
export const chunkedChecksum = 'io.github.containers.zstd-chunked.manifest-checksum'
/** "offset:bytes:bytes decoded:1" of the table. */
export const chunkedPosition = 'io.github.containers.zstd-chunked.manifest-position'
/** "offset:bytes:bytes decoded" of the tar-split. */
export const chunkedTarSplit = 'io.github.containers.zstd-chunked.tarsplit-position'
