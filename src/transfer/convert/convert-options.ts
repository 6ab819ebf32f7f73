import { OnefoldError } from '../../error.ts'
import type { Platform } from '../../formats/oci/descriptor.ts'
import { type MemberCoding, memberLevels } from '../../codecs/member-encoder.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { WatchOptions } from '../send/layer-tar.ts'
import { checkSpanSize } from '../index/index-image.ts'

/** What images can be converted to. */
export const convertFormats = ['estargz', 'zstd-chunked', 'stargz-zstd', 'soci', 'tar+gzip', 'tar+zstd', 'tar'] as const
export type ConvertFormat = (typeof convertFormats)[number]

export interface ConvertOptions extends WatchOptions {
  readonly platform?: Platform | undefined
  /** Every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  /** Of gzip 1 to 9, default 6; of zstd 1 to 19, default 3. */
  readonly level?: number | undefined
  /** estargz, stargz-zstd: bytes of content in a chunk; default 4 MiB. */
  readonly chunkSize?: number | undefined
  /** estargz, stargz-zstd: a member takes further files until it has so many bytes; default 0. */
  readonly minChunkSize?: number | undefined
  /** estargz: puts the tables into a second image, named like the first with `-esgztoc` behind it. */
  readonly externalToc?: boolean | undefined
  /** estargz with externalToc, stargz-zstd: leaves tars and so diffIDs and the config as they are. */
  readonly keepDiffId?: boolean | undefined
  /** estargz, stargz-zstd: paths that are read first, as UTF-8 text; each goes to the front of the highest layer that has it. */
  readonly prioritized?: readonly string[] | undefined
  /** soci: bytes of tar between two places to start at; default 4 MiB. */
  readonly spanSize?: number | undefined
  /** soci: blobs below this get no table; default 10 MiB. */
  readonly minLayerSize?: number | undefined
  /** soci: index zstd layers as they are, in a way that only onefold reads. */
  readonly zstd?: boolean | undefined
  /** Write the nearest that the format can hold instead of refusing (UNSUPPORTED) what it cannot. */
  readonly lossy?: boolean | undefined
  readonly onWarning?: ((message: string) => void) | undefined
  /** How registries are talked to: the destination's, and those that layers came from. */
  readonly source?: SourceOptions | undefined
  /** Where blobs lie while they go up; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
  /** How many threads compress; what comes out is the same for any number. */
  readonly threads?: number | undefined
}

type Choice = Exclude<keyof ConvertOptions, 'platform' | 'allPlatforms' | 'source' | 'signal' | 'threads' | 'temporary'>

const forStargz: readonly ConvertFormat[] = ['estargz', 'stargz-zstd']
const only: Readonly<Partial<Record<Choice, readonly ConvertFormat[]>>> = {
  level: ['estargz', 'zstd-chunked', 'stargz-zstd', 'soci', 'tar+gzip', 'tar+zstd'],
  chunkSize: forStargz,
  minChunkSize: forStargz,
  externalToc: ['estargz'],
  keepDiffId: forStargz,
  prioritized: forStargz,
  spanSize: ['soci'],
  minLayerSize: ['soci'],
  zstd: ['soci'],
  lossy: ['estargz', 'zstd-chunked', 'stargz-zstd', 'soci'],
}

/** Smaller chunks would take more room for what is said of them than for themselves. */
const chunkSizeMin = 4096

/** Throws USAGE for what makes no sense, before anything is read. */
export function checkConvertOptions(format: ConvertFormat, options: ConvertOptions): void {
  const given = (name: Choice): boolean => options[name] !== undefined && options[name] !== false
  for (const [name, formats] of entriesOf(only))
    if (given(name) && !formats.includes(format))
      throw usage(`${optionName(name)} is for ${formats.join(', ')}, not for ${format}`)
  const { chunkSize = chunkSizeMin, minChunkSize = 0, level, keepDiffId, spanSize } = options
  if (!(Number.isSafeInteger(chunkSize) && chunkSize >= chunkSizeMin))
    throw usage(`--chunk-size is ${chunkSize}, expected at least ${chunkSizeMin}`)
  if (!(Number.isSafeInteger(minChunkSize) && minChunkSize >= 0))
    throw usage(`--min-chunk-size is ${minChunkSize}, expected a whole number`)
  if (spanSize !== undefined) checkSpanSize(spanSize)
  if (level !== undefined) checkLevel(codingOf(format), level)
  if (keepDiffId !== true) return
  if (format === 'estargz' && options.externalToc !== true)
    throw usage('--keep-diff-id goes with --external-toc: a table inside the tar changes it')
  if (given('prioritized')) throw usage('--keep-diff-id does not go with --prioritized, which changes the tar')
  if (given('lossy')) throw usage('--keep-diff-id does not go with --lossy, which changes the tar')
}

/** How layers are compressed; undefined where they are not. */
export function codingOf(format: ConvertFormat): MemberCoding {
  return format === 'zstd-chunked' || format === 'stargz-zstd' || format === 'tar+zstd' ? 'zstd' : 'gzip'
}

function checkLevel(coding: MemberCoding, level: number): void {
  const { min, max } = memberLevels[coding]
  if (Number.isInteger(level) && level >= min && level <= max) return
  throw usage(`--level is ${level}, ${coding} has ${min} to ${max}`)
}

function entriesOf<K extends string, V>(record: Readonly<Partial<Record<K, V>>>): [K, V][] {
  return Object.entries(record) as [K, V][]
}

function optionName(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function usage(found: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot convert: ${found}`)
}
