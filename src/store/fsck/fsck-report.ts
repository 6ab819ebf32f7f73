import type { AbortOptions } from '../../abort.ts'
import type { Digest } from '../../digest.ts'

export interface FsckOptions extends AbortOptions {
  /**
   * Also build the tar of every layer again and hash it against its diffID, and compose every image again from its
   * layers. Layers whose diffID was never proven are built, and not compared.
   */
  readonly rebuild?: boolean | undefined
  /** Hash only some of the objects; everything else is checked as always. */
  readonly sample?: Sample | undefined
  /** Hash only what has changed since the last check that found nothing. Disks that rot change nothing on paper. */
  readonly changed?: boolean | undefined
  /** Leave everything as it is: nothing is quarantined, nothing noted down. */
  readonly dryRun?: boolean | undefined
  readonly onProgress?: ((event: CheckEvent) => void) | undefined
}

/** A sample of the objects. The same seed takes the same; without one every run takes others. */
export type Sample = ({ readonly percent: number } | { readonly count: number }) & {
  readonly seed?: string | undefined
}

/** The progress of a check. */
export interface CheckEvent {
  readonly type: 'check'
  readonly step: CheckStep
  /** Done so far in this step. */
  readonly files: number
  readonly bytes: number
}

export type CheckStep = 'checking objects' | 'checking images' | 'building layers again' | 'composing images again'

export interface FsckReport {
  /** Whether there is no damage; strays and the index do not count. */
  readonly clean: boolean
  readonly checked: Checked
  /** Damage, by kind and name. */
  readonly damage: readonly Damage[]
  /** Paths below the root that are nothing of ours, in code unit order. */
  readonly strays: readonly string[]
  /** index.db is derived and never believed; a damaged or foreign one is made again by the next pull. */
  readonly index: IndexState
  /** Seed of the sample, to take the same again. */
  readonly seed?: string
}

/** State of the index. Behind: some records came or went since it was last used, or its writer was killed. */
export type IndexState = 'none' | 'current' | 'behind' | 'damaged' | 'foreign'

export interface Checked {
  readonly objects: number
  readonly objectBytes: number
  /** Number of objects that were read and hashed. */
  readonly hashed: number
  readonly recipes: number
  readonly images: number
  readonly blobs: number
  readonly records: number
  readonly refs: number
  readonly mounts: number
}

export interface Damage {
  readonly kind: DamageKind
  /** Digest or name of the damaged thing. */
  readonly name: string
  /** Text that says what was found. */
  readonly problem: string
  readonly state: DamageState
  /** Path below the root; '' for the root itself. */
  readonly file: string
  /** Path that the damaged file was moved to, below the root. */
  readonly quarantined?: string
  /** Names of the images that suffer from it; none when nothing uses it. */
  readonly images: readonly string[]
  readonly affected: readonly Affected[]
}

/**
 * Kind of damage. missing: there is nothing. broken: what is there is not what the name says. exposed: it is, but
 * others could change it. untrue: whole, and says what is not so.
 */
export type DamageState = 'missing' | 'broken' | 'exposed' | 'untrue'

export type DamageKind = 'store' | 'ref' | 'record' | 'blob' | 'recipe' | 'image' | 'object' | 'mount'

/** An image of the store that suffers. */
export interface Affected {
  readonly manifest: Digest
  readonly names: readonly string[]
  /** Its files that have the damaged object, one char per byte. Empty: no single file, the image as a whole does. */
  readonly paths: readonly string[]
}
