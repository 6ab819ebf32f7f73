/** Annotations of layers in the dialect of zstd:chunked that containers/storage writes and reads. */

/** Digest of the *compressed* table. */
export const chunkedChecksum = 'io.github.containers.zstd-chunked.manifest-checksum'
/** Position of the table: "offset:bytes:bytes decoded:1". */
export const chunkedPosition = 'io.github.containers.zstd-chunked.manifest-position'
/** Position of the tar-split: "offset:bytes:bytes decoded". */
export const chunkedTarSplit = 'io.github.containers.zstd-chunked.tarsplit-position'
