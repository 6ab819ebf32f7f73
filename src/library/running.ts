import { parseConfig } from '../formats/oci/image-config.ts'
import type { RunOptions, RunResult } from '../run/run.ts'
import type { Store } from '../store/store.ts'
import { ensureImage } from '../transfer/ensure-image.ts'
import { requireSound } from '../transfer/verify/proof.ts'
import { type ImageChoice, type TrustOptions, chosenImage } from './image-choice.ts'

/**
 * Runs a program in a container made from a stored image, as its config says where the options say nothing, and waits
 * for its end. Standard streams and signals are the program's meanwhile.
 */
export async function run(
  store: Store,
  image: ImageChoice,
  options: RunOptions & TrustOptions = {},
): Promise<RunResult> {
  const { image: found, name } = chosenImage(store, image)
  requireSound(found.record, options.allowFailed === true)
  const imageName = options.imageName ?? name
  const config = parseConfig(store.blob(found.record.config.digest))
  const { runImage } = await import('../run/run.ts')
  return runImage(store, await ensureImage(store, found.record), config.run, { ...options, imageName })
}
