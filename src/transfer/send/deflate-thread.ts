import { serveThread } from '../../threads/serve.ts'
import { type Block, type Deflated, compressBlock } from './block.ts'

/** Compresses blocks that lie in shared memory. */
serveThread((block: Block): Deflated => ({ length: compressBlock(block) }))
