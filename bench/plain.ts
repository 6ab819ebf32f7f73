import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BuiltImage } from './build.ts'
import { output } from './command.ts'
import { benchFolder } from './images.ts'
import { oci } from './peers.ts'

/** A folder of skopeo's `dir:` with the layers of an image as plain tars, made once. */
export async function plainCopy(image: BuiltImage): Promise<string> {
  const folder = join(benchFolder, 'plain', image.name)
  if (existsSync(folder)) return folder
  await mkdir(join(benchFolder, 'plain'), { recursive: true })
  await rm(`${folder}.new`, { recursive: true, force: true })
  await output('skopeo', ['copy', '--quiet', '--dest-decompress', oci(image), `dir:${folder}.new`])
  await rename(`${folder}.new`, folder)
  return folder
}
