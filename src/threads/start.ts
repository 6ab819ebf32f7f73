import { Worker } from 'node:worker_threads'

/** Extension of modules, which differs when the package is built. */
const extension = import.meta.filename.endsWith('.ts') ? 'ts' : 'js'

/**
 * Starts a thread that runs a module, which calls serveThread().
 * @param name name of the module, without its extension
 * @param beside URL of the file that it lies beside: `import.meta.url`
 * @param data value that the module finds in `workerData`
 */
export function startThread(name: string, beside: string, data?: unknown): Worker {
  return new Worker(new URL(`./${name}.${extension}`, beside), { workerData: data })
}
