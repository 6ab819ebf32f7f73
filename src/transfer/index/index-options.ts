import { OnefoldError } from '../../error.ts'
import { type AttachableFormat, type AttacherOptions, loadAttachable } from '../../formats/all.ts'
import type { Platform } from '../../formats/oci/descriptor.ts'
import { type OptionSpecs, type OptionsOf, pickOptions } from '../../formats/format-options.ts'
import type { IndexAttacher } from '../../formats/format.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { OnProgress } from '../progress.ts'

/** Options of all kinds of indexes, and those of each kind. */
export interface IndexOptions extends AttacherOptions {
  /** The kind of index; default: the only one that there is. */
  readonly format?: AttachableFormat | undefined
  readonly platform?: Platform | undefined
  readonly allPlatforms?: boolean | undefined
  readonly source?: SourceOptions | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** A kind of index that is to be made, and what was chosen for it. */
export interface ChosenAttacher {
  readonly attacher: IndexAttacher
  readonly options: OptionsOf<OptionSpecs>
}

/** Takes what was chosen for an index. Throws USAGE for what makes no sense, before anything is asked of anybody. */
export async function chooseAttacher(options: IndexOptions): Promise<ChosenAttacher> {
  const formats = await loadAttachable()
  const wanted = formats.filter(({ name }) => options.format === undefined || options.format === name)
  const attacher = wanted.length === 1 ? wanted[0]?.attacher : undefined
  if (attacher === undefined) throw usage(`the format is one of ${formats.map(({ name }) => name).join(', ')}`)
  const chosen = pickOptions(attacher.options, { ...options }, usage)
  const found = attacher.check?.(chosen)
  if (found !== undefined) throw usage(found)
  return { attacher, options: chosen }
}

function usage(found: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot index: ${found}`)
}
