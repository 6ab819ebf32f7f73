import { parentPort } from 'node:worker_threads'
import { serveThread } from '../import/serve-thread.ts'
import { type Block, type Deflated, compressBlock } from './block.ts'

/** Compresses blocks that lie in shared memory, one at a time. */
serveThread<Block, Deflated>(
  parentPort,
  (block) => ({ length: compressBlock(block) }),
  () => {},
)
