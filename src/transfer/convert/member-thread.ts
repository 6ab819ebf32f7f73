import type { MemberEncoder } from '../../codecs/codec.ts'
import { memberEncoder } from '../../codecs/member-encoder.ts'
import { serveThread } from '../../threads/serve.ts'
import { type Batch, type CompressedBatch, compressBatch } from './batch.ts'

/** The encoder of the last batch: nearly always the next is alike. */
let kept: { readonly key: string; readonly encoder: MemberEncoder } | undefined

function encoderFor({ coding, level }: Batch): MemberEncoder {
  const key = `${coding} ${level}`
  if (kept?.key === key) return kept.encoder
  kept?.encoder[Symbol.dispose]()
  kept = { key, encoder: memberEncoder(coding, level) }
  return kept.encoder
}

/** Compresses members that lie in shared memory, a batch at a time. */
serveThread((batch: Batch): CompressedBatch => compressBatch(batch, encoderFor(batch)))
