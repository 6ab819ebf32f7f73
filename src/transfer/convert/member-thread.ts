import { parentPort } from 'node:worker_threads'
import type { MemberEncoder } from '../../codecs/codec.ts'
import { memberEncoder } from '../../codecs/member-encoder.ts'
import { serveThread } from '../import/serve-thread.ts'
import { type Batch, type CompressedBatch, compressBatch } from './batch.ts'

/** Of the last batch: nearly always the next is alike. */
let kept: { readonly key: string; readonly encoder: MemberEncoder } | undefined

function encoderFor({ coding, level }: Batch): MemberEncoder {
  const key = `${coding} ${level}`
  if (kept?.key === key) return kept.encoder
  kept?.encoder[Symbol.dispose]()
  kept = { key, encoder: memberEncoder(coding, level) }
  return kept.encoder
}

/** Compresses members that lie in shared memory, a batch at a time. */
serveThread<Batch, CompressedBatch>(
  parentPort,
  (batch) => compressBatch(batch, encoderFor(batch)),
  () => {},
)
