/**
 * onefold as a library: the same things as the command, with types, AbortSignals and progress events.
 *
 *     import { openStore, openSource, pull, mount, unmount } from 'onefold'
 */
export { openStore, openDamagedStore, Store, type OpenOptions, type VerityPolicy, type Sealed } from './store/store.ts'
export type { StoredImage, ListedImage, FindOptions } from './store/store.ts'
export type { DiskUse, ImageUse, StoreUse } from './store/store.ts'
export type { GcOptions, GcReport } from './store/store.ts'
export type { FsckOptions, FsckReport, Sample, Damage, Affected, CheckEvent } from './store/store.ts'
export type { ImageRecord, LayerRecord } from './store/records/image-record.ts'

export { openSource, type SourceOptions } from './sources/open-source.ts'
export type { Source } from './sources/source.ts'
export type { RegistryOptions } from './sources/registry/client.ts'

export { pull, type PullOptions, type PullResult, type PulledImage, type PullStats } from './transfer/pull/pull.ts'
export {
  planPull,
  type PullPlan,
  type PlannedImage,
  type PlannedLayer,
  type PlannedTotal,
} from './transfer/pull/plan-pull.ts'
export type { PartialPolicy } from './transfer/fetch/layer-outlook.ts'
export { proofOf, type VerifiedImage, type VerifiedLayer } from './transfer/verify/proof.ts'
export { proveImage, type VerifyOptions } from './transfer/verify/prove-image.ts'
export { repairStore, type RepairOptions, type RepairReport } from './transfer/repair/repair.ts'
export { obtain, type ObtainOptions } from './transfer/pull/obtain.ts'
export { exportImage, type ExportOptions, type ExportResult } from './transfer/send/export-image.ts'
export { sealImage, type SealImageOptions, type SealResult, type SealedImage } from './transfer/seal/seal-image.ts'
export type { SealOptions } from './transfer/seal/seal-check.ts'
export { parseImageDigest, type ImageDigest } from './formats/oci/seal-claims.ts'
export { pushImage, type PushOptions, type PushResult } from './transfer/send/push-image.ts'
export { indexImage, type IndexResult } from './transfer/index/index-image.ts'
export type { IndexOptions } from './transfer/index/index-options.ts'
export { convertImage, type ConvertResult, type ConvertedImage } from './transfer/convert/convert-image.ts'
export type { ConvertFormat, ConvertOptions } from './transfer/convert/convert-options.ts'
export type { SentImage } from './transfer/send/sent-image.ts'
export type { PullEvent, OnProgress } from './transfer/progress.ts'
export { type ImportLimits, defaultLimits } from './transfer/import/layer-job.ts'

export { importImage, type ImportOptions } from './transfer/commit/import-tree.ts'
export type { DeriveOptions, DerivedImage } from './transfer/commit/derive-image.ts'

export { mount, unmount } from './library/mounting.ts'
export { readTree, readMount } from './library/reading.ts'
export { run } from './library/running.ts'
export { commit } from './library/committing.ts'
export type { MountOptions } from './mount/mount-image.ts'
export type { MountRecord } from './store/mount-record.ts'
export type { MountTrees } from './library/reading.ts'
export type { ImageChoice } from './library/image-choice.ts'
export { listMounts, type MountStatus } from './mount/mount-status.ts'
export type { UnmountOptions, Unmounted } from './mount/unmount.ts'
export type { RunOptions, RunResult } from './run/run.ts'

export { scanDirectory, type ScanOptions } from './scan/scan-directory.ts'
export { DumpReader, parseDump, type DumpOptions, type DumpedTree } from './formats/dump/read-dump.ts'
export { writeDump } from './formats/dump/write-dump.ts'
export { readErofs } from './formats/composefs/read-image.ts'
export { openErofs, type ErofsView } from './formats/composefs/image-view.ts'
export { type ErofsReadOptions, type FileInfo } from './formats/composefs/inode-decoder.ts'
export { planErofs, type ErofsOptions, type ErofsPlan } from './formats/composefs/plan-image.ts'
export { streamErofs } from './formats/composefs/write-image.ts'
export { VerityHasher, verityDigest } from './formats/fsverity/verity-digest.ts'
export { composeImage, type ComposedImage } from './image/stream-image.ts'
export { lookup } from './formats/lookup.ts'
export { diffTrees, type Change } from './image/diff-trees.ts'
export { treeToJson, type JsonEntry } from './image/tree-json.ts'
export type { Directory, Inode } from './formats/tree.ts'

export { parsePlatform, hostPlatform } from './formats/oci/platform.ts'
export type { Descriptor, Platform } from './formats/oci/descriptor.ts'
export type { Digest, DiffId, RecipeDigest, VerityDigest } from './digest.ts'
export { OnefoldError, type Code } from './error.ts'
