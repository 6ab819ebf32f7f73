import type { Platform } from '../formats/oci/descriptor.ts'
import type { RegistryOptions } from './registry/client.ts'

/** Options for opening a source; each kind of source takes those that concern it. */
export interface SourceOptions {
  readonly registry?: RegistryOptions | undefined
  /**
   * Directory for the unpacked form of a compressed archive and for standard input; default $TMPDIR, else /var/tmp
   * (/tmp is often memory). The files in it have no names and vanish with the process.
   */
  readonly temporary?: string | undefined
  /** Most bytes that a compressed archive or tar may unpack to; default 256 GiB. */
  readonly maxUnpackedBytes?: number | undefined
  /** Platform that a plain tree is said to run on; default this machine. */
  readonly platform?: Platform | undefined
  /** Directories whose contents are no part of a plain tree: the store itself, when `rootfs:/` is read. */
  readonly omit?: readonly string[] | undefined
  /** Hears what was left out of a plain tree, and why: `"/srv/x/proc": another file system is mounted here`. */
  readonly onWarning?: ((message: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export const maxUnpackedBytesDefault = 256 * 2 ** 30
