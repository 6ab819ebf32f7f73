/**
 * onefold as a library: the same things as the command, with types, AbortSignals and progress events.
 *
 *     import { openStore, openSource, pull, mount, unmount } from 'onefold'
 */
export { openStore, Store, type OpenOptions, type VerityPolicy, type Sealed } from './store/store.ts'
export type { StoredImage, ListedImage, FindOptions } from './store/find.ts'
export type { DiskUse, ImageUse, StoreUse } from './store/du.ts'
export type { GcOptions, GcReport } from './store/gc.ts'
export type { FsckOptions, FsckReport, Sample, Damage, Affected, CheckEvent } from './store/fsck/report.ts'
export type { ImageRecord, LayerRecord } from './store/record.ts'

export { openSource, type SourceOptions } from './sources/open.ts'
export type { Source } from './sources/source.ts'
export type { RegistryOptions } from './sources/registry/client.ts'

export { pull, type PullOptions, type PullResult, type PulledImage, type PullStats } from './transfer/pull.ts'
export {
  planPull,
  type PullPlan,
  type PlannedImage,
  type PlannedLayer,
  type PlannedTotal,
} from './transfer/plan-pull.ts'
export type { PartialPolicy } from './transfer/partial/outlook.ts'
export { proofOf, type VerifiedImage, type VerifiedLayer } from './transfer/proof.ts'
export { proveImage, type VerifyOptions } from './transfer/verify.ts'
export { repairStore, openDamagedStore, type RepairOptions, type RepairReport } from './transfer/repair/repair.ts'
export { obtain, type ObtainOptions } from './transfer/obtain.ts'
export { exportImage, type ExportOptions, type ExportResult } from './transfer/export.ts'
export { sealImage, type SealImageOptions, type SealResult, type SealedImage } from './transfer/seal-image.ts'
export type { SealOptions } from './transfer/seal-check.ts'
export { parseImageDigest, type ImageDigest } from './formats/oci/seal.ts'
export { pushImage, type PushOptions, type PushResult } from './transfer/push.ts'
export { indexImage, type IndexOptions, type IndexResult } from './transfer/soci/index-image.ts'
export { convertImage, type ConvertResult } from './transfer/convert/convert.ts'
export type { ConvertFormat, ConvertOptions } from './transfer/convert/options.ts'
export type { ConvertedImage } from './transfer/convert/image.ts'
export type { SentImage } from './transfer/send/image.ts'
export type { PullEvent, OnProgress } from './transfer/progress.ts'
export { type ImportLimits, defaultLimits } from './transfer/import/job.ts'

export { importImage, type ImportOptions } from './transfer/commit/import.ts'
export type { DeriveOptions, DerivedImage } from './transfer/commit/derive.ts'

export { mount, unmount, readTree, run, commit, readMount } from './api.ts'
export type { MountOptions, MountRecord, MountTrees, ImageChoice } from './api.ts'
export { listMounts, type MountStatus } from './mount/status.ts'
export type { UnmountOptions, Unmounted } from './mount/unmount.ts'
export type { RunOptions, RunResult } from './run/run.ts'

export { scanDirectory, type ScanOptions } from './composefs/scan.ts'
export { DumpReader, parseDump, type DumpOptions, type DumpedTree } from './formats/dump/read.ts'
export { writeDump } from './formats/dump/write.ts'
export { openErofs, readErofs, type ErofsReadOptions, type ErofsView, type FileInfo } from './formats/erofs/tree.ts'
export { planErofs, streamErofs, type ErofsOptions, type ErofsPlan } from './formats/erofs/write.ts'
export { VerityHasher, verityDigest } from './formats/fsverity/digest.ts'
export { composeImage, type ComposedImage } from './image/compose.ts'
export { lookup } from './formats/lookup.ts'
export { diffTrees, type Change } from './image/diff.ts'
export { treeToJson, type JsonEntry } from './image/json.ts'
export type { Directory, Inode } from './formats/tree.ts'

export { parsePlatform, hostPlatform } from './formats/oci/platform.ts'
export type { Descriptor, Platform } from './formats/entry.ts'
export type { Digest, DiffId, RecipeDigest, VerityDigest } from './digest.ts'
export { OnefoldError, type Code } from './error.ts'
