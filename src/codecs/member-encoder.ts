import type { MemberEncoder } from './codec.ts'
import { GzipEncoder, NodeGzipEncoder } from './gzip-encoder.ts'
import { nativeZlib, nativeZstd } from './native.ts'
import { NodeZstdEncoder, ZstdEncoder } from './zstd-encoder.ts'

export type MemberCoding = 'gzip' | 'zstd'

/** The levels that each coding has. */
export const memberLevels: Readonly<Record<MemberCoding, { min: number; max: number; usual: number }>> = {
  gzip: { min: 1, max: 9, usual: 6 },
  zstd: { min: 1, max: 19, usual: 3 },
}

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
