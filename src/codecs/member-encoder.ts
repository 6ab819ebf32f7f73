import type { MemberEncoder } from './codec.ts'
import type { MemberCoding } from './coding.ts'
import { GzipEncoder, NodeGzipEncoder } from './gzip-encoder.ts'
import { nativeZlib, nativeZstd } from './native.ts'
import { NodeZstdEncoder, ZstdEncoder } from './zstd-encoder.ts'

/** An encoder with the libraries that this Node carries, called directly where it exports them. */
export function memberEncoder(coding: MemberCoding, level: number): MemberEncoder {
  switch (coding) {
    case 'gzip':
      return gzipEncoder(level)
    case 'zstd':
      return zstdEncoder(level)
  }
}

function gzipEncoder(level: number): MemberEncoder {
  const own = nativeZlib.own()
  return own === undefined ? new NodeGzipEncoder(level) : new GzipEncoder(level, own)
}

function zstdEncoder(level: number): MemberEncoder {
  const own = nativeZstd.own()
  return own === undefined ? new NodeZstdEncoder(level) : new ZstdEncoder(level, own)
}
