import type { RegistryOptions } from '../registry/client.ts'

/** Options for opening a target; each kind of target takes what concerns it. */
export interface TargetOptions {
  readonly registry?: RegistryOptions | undefined
  /** Folder for blobs while they go up; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Names of sources that may have blobs of the image: a registry is asked to take them from its own repositories. */
  readonly near?: readonly string[] | undefined
}
