import { OnefoldError } from '../../error.ts'
import { type WritableDeclaration, type WritableFormat, type WriterOptions, loadWritable } from '../../formats/all.ts'
import type { Platform } from '../../formats/oci/descriptor.ts'
import { type OptionSpecs, type OptionsOf, isGiven, optionName, pickOptions } from '../../formats/format-options.ts'
import { type Format, type FormatWriter, writerOptions } from '../../formats/format.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { WatchOptions } from '../send/layer-tar.ts'

/** Formats that images can be converted to. */
export type ConvertFormat = WritableFormat

/** Options of all conversions, and those of all formats: one that the chosen format does not have is refused. */
export interface ConvertOptions extends WatchOptions, WriterOptions {
  readonly platform?: Platform | undefined
  /** Every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  /** Effort of compression: gzip has 1 to 9, default 6; zstd has 1 to 19, default 3. */
  readonly level?: number | undefined
  /** Is told what was lost, or left out, and why. */
  readonly onWarning?: ((message: string) => void) | undefined
  /** How registries are talked to: the destination's, and those that layers came from. */
  readonly source?: SourceOptions | undefined
  /** Folder for blobs while they go up; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
  /** How many threads compress; what comes out is the same for any number. */
  readonly threads?: number | undefined
}

/** A format that is to be written, and what was chosen for it. */
export interface ChosenFormat {
  readonly writer: FormatWriter
  readonly options: OptionsOf<OptionSpecs>
}

/** Takes what was chosen for a format. Throws USAGE for what makes no sense, before anything is read. */
export async function chooseFormat(name: string, options: ConvertOptions): Promise<ChosenFormat> {
  const formats = await loadWritable()
  const writer = formats.find((format) => format.name === name)?.writer
  if (writer === undefined) throw usage(`${JSON.stringify(name)} is no format, expected ${namesOf(formats)}`)
  const values = { ...options }
  refuseOthers(name, values, formats)
  const chosen = pickOptions(writerOptions(writer), values, usage)
  const found = writer.check?.(chosen)
  if (found !== undefined) throw usage(found)
  return { writer, options: chosen }
}

/** Refuses what was chosen and is an option of other formats only. */
function refuseOthers(
  name: string,
  values: Readonly<Record<string, unknown>>,
  formats: readonly WritableDeclaration[],
): void {
  for (const option of new Set(formats.flatMap(({ writer }) => Object.keys(writerOptions(writer))))) {
    const having = formats.filter(({ writer }) => Object.hasOwn(writerOptions(writer), option))
    if (isGiven(values[option]) && !having.some((format) => format.name === name))
      throw usage(`--${optionName(option)} is for ${namesOf(having)}, not for ${name}`)
  }
}

function namesOf(formats: readonly Format[]): string {
  return formats.map(({ name }) => name).join(', ')
}

function usage(found: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot convert: ${found}`)
}
