import { openSource } from '../src/sources/open.ts'
import { openStore } from '../src/store/store.ts'
import { pull } from '../src/transfer/pull.ts'

/** A pull that kills itself, as rudely as can be, when its first layer is staged: STORE IMAGE. */
const [root, image = ''] = process.argv.slice(2)
const store = await openStore(root)
const source = await openSource(image)
await pull(store, source, {
  onProgress: (event) => {
    if (event.type === 'layer' && event.finished) process.kill(process.pid, 'SIGKILL')
  },
})
