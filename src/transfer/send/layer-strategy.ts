import type { AttachedArtifact, Companion, ImageAddition, WrittenLayer } from '../../formats/format.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { Target } from '../../sources/targets/target.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'

/** Decides what layers become when they are sent, and what has to go with them: all that push, export and convert differ in. */
export interface LayerStrategy extends AsyncDisposable {
  /**
   * Whether documents go out as they are where all that they name does, and an image as it was where the target has its
   * blobs.
   */
  readonly keepsDocuments: boolean
  /** Says what becomes of an image's layers, the lowest first; throws what is in the way before any of it is sent. */
  plan(record: ImageRecord): readonly LayerPlan[]
  /** Makes what goes with an image whose layers have been sent. */
  addition?(layers: readonly WrittenLayer[]): ImageAddition | undefined
  /** Makes the artifact that refers to an image that has been sent. */
  attach?(image: Descriptor, layers: readonly WrittenLayer[]): AttachedArtifact | undefined
  /** Makes what goes beside all images that have been sent. */
  companion?(layers: readonly WrittenLayer[]): Companion | undefined
}

/** Plan of what one layer of an image becomes. */
export interface LayerPlan {
  /** Layers of one key become one blob: images share layers, and a layer may stand in one twice. */
  readonly key: string
  send(target: Target): Promise<WrittenLayer>
}
