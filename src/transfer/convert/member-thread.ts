import { parentPort } from 'node:worker_threads'
import { type Compressor, memberCompressor } from '../../codecs/member-compressor.ts'
import { serveThread } from '../import/serve-thread.ts'
import { type Batch, type CompressedBatch, compressBatch } from './batch.ts'

/** Of the last batch: nearly always the next is alike. */
let kept: { readonly key: string; readonly compressor: Compressor } | undefined

function compressorFor({ coding, level }: Batch): Compressor {
  const key = `${coding} ${level}`
  if (kept?.key === key) return kept.compressor
  kept?.compressor[Symbol.dispose]()
  kept = { key, compressor: memberCompressor(coding, level) }
  return kept.compressor
}

/** Compresses members that lie in shared memory, a batch at a time. */
serveThread<Batch, CompressedBatch>(
  parentPort,
  (batch) => compressBatch(batch, compressorFor(batch)),
  () => {},
)
