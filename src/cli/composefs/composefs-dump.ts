import { OnefoldError } from '../../error.ts'
import { readErofs } from '../../formats/composefs/read-image.ts'
import { openErofs } from '../../formats/composefs/image-view.ts'
import { writeErofs } from '../../formats/composefs/write-image.ts'
import { attempt, usageError } from './tool-failure.ts'
import { ToolOutput, readImage } from './tool-files.ts'

/** `composefs-dump`: reads an image and writes it again in its version, which must give the same bytes. */
export async function composefsDump([source, destination]: readonly string[]): Promise<void> {
  const usage = 'usage: composefs-dump SRC DEST'
  if (source === undefined) throw usageError('No source path specified', usage)
  if (destination === undefined) throw usageError('No destination path specified', usage)
  const bytes = readImage(source)
  const version = attempt(`Failed to get image version '${source}'`, () => versionOf(bytes))
  const root = attempt(`Failed to load '${source}'`, () => readErofs(bytes, { foreignPaths: true }))
  using file = new ToolOutput(destination, `failed to open '${destination}'`)
  const image = attempt('cannot write file', () => writeErofs(root, { minVersion: version, maxVersion: version }))
  attempt('cannot write file', () => {
    file.truncate()
    file.append(image.bytes)
  })
}

function versionOf(bytes: Uint8Array): 0 | 1 {
  const { version } = openErofs(bytes)
  if (version === 0 || version === 1) return version
  throw new OnefoldError('UNSUPPORTED', version === undefined ? 'it is no composefs image' : `version ${version}`)
}
