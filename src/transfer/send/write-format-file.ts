import { OnefoldError } from '../../error.ts'
import { loadFormat } from '../../formats/all.ts'
import type { FormatFile } from '../../formats/format.ts'
import type { Directory } from '../../formats/tree.ts'
import { checkLayerName } from '../../image/layer-names.ts'
import { entryOf } from '../../image/tree-entries.ts'
import { walk } from '../../image/tree-json.ts'
import type { Destination } from '../../sources/targets/destination.ts'
import { OutputFile } from '../../sources/targets/output-file.ts'
import type { Store } from '../../store/store.ts'
import { turning } from './layer-tar.ts'
import { type TreeTarOptions, treeTar } from './tree-tar.ts'

export interface FormatFileOptions extends TreeTarOptions {
  readonly signal?: AbortSignal | undefined
}

type WritableFile = FormatFile & Required<Pick<FormatFile, 'write'>>

/**
 * Writes a tree as a file of a format, which holds it as a layer: UNSUPPORTED for what would delete something there, and for
 * what the format cannot hold.
 */
export async function writeFormatFile(
  store: Store,
  tree: Directory,
  to: Extract<Destination, { readonly transport: 'format' }>,
  { onSkip, signal }: FormatFileOptions,
): Promise<void> {
  const file = await loadWritable(to.format)
  refuseWhiteouts(tree)
  let passes = 0
  // The format may want the tar several times; what is left out is said once.
  const tar = (): Generator<Uint8Array> =>
    treeTar(store, tree, passes++ === 0 && onSkip !== undefined ? { onSkip } : {})
  using output = OutputFile.open(to.path)
  for await (const chunk of turning(file.write(tar), signal)) output.write(chunk)
  output.finish()
}

async function loadWritable(name: string): Promise<WritableFile> {
  const file = await (await loadFormat(name))?.file?.load()
  if (file !== undefined && isWritable(file)) return file
  throw new OnefoldError('UNSUPPORTED', `Cannot write to "${name}:": files of that format are only read`)
}

function isWritable(file: FormatFile): file is WritableFile {
  return file.write !== undefined
}

function refuseWhiteouts(tree: Directory): void {
  for (const { path, inode, link } of walk(tree))
    checkLayerName(entryOf(path, inode, link), path.slice(path.lastIndexOf('/') + 1))
}
