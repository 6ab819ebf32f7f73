/**
 * Finds out how this kernel, and the file system that an image lies on, want to be asked for a mount.
 *
 * Nothing says beforehand what a kernel takes, so the newest way is tried first, and an older one when the kernel has not
 * understood. What it does say is ambiguous: EINVAL is both "I do not know this word" and "I will not do that".
 */
import { isErrno } from '../linux/libc.ts'
import { pathFromUtf8 } from '../paths.ts'
import { executePlan } from './execute-plan.ts'
import type { Means, MountStep } from './mount-plan.ts'
import { removeDirectory } from './mount-state.ts'

/** How layers were given to the kernel when a mount last worked: the next one begins there. */
let layersThatWorked: Means['layers'] = 'descriptors'

/**
 * Executes a plan by the best means there are.
 * @param plan given an empty directory for the moment, where the image can be attached; '' when the means need none
 * @param makeScratch makes that directory, an ordinary path; it is removed afterwards
 */
export function executeByBestMeans(
  plan: (means: Means, scratch: string) => readonly MountStep[],
  makeScratch: () => string,
): void {
  tryMeans((means) => {
    if (means.layers === 'descriptors') return executePlan(plan(means, ''))
    const scratch = makeScratch()
    try {
      executePlan(plan(means, pathFromUtf8(scratch)))
    } finally {
      removeDirectory(scratch)
    }
  })
}

/** Calls `attempt` with one means after another until a call does not throw; throws what the kernel has to say otherwise. */
export function tryMeans(attempt: (means: Means) => void): void {
  let refusal: unknown
  for (let means: Means | undefined = { image: 'file', layers: layersThatWorked }; means !== undefined;) {
    try {
      attempt(means)
      layersThatWorked = means.layers
      return
    } catch (error) {
      // What the newest way is answered says most, but for a missing loop device, and for words that are unknown.
      if (refusal === undefined || isErrno(refusal, 'ENOTBLK') || !mayBeMisunderstood(error)) refusal = error
      means = lesserMeans(means, error)
    }
  }
  throw refusal
}

/** Whether the kernel may only not have understood: one that takes no descriptors of mounts says EBADF. */
export function mayBeMisunderstood(error: unknown): boolean {
  return isErrno(error, 'EINVAL', 'EBADF')
}

function lesserMeans(means: Means, error: unknown): Means | undefined {
  if (isErrno(error, 'ENOTBLK') && means.image === 'file') return { ...means, image: 'loop' }
  if (!mayBeMisunderstood(error) || means.layers === 'string') return undefined
  return { ...means, layers: means.layers === 'descriptors' ? 'paths' : 'string' }
}
