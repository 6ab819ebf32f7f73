import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { LayoutBuilder, type TestEntry, directory, file, symlink } from '../test/fixtures/images.ts'
import { benchFolder } from './images.ts'

/** Images whose shape, not content, is what counts: `files` names spread over `layers` layers. */
export interface TreeShape {
  readonly files: number
  readonly layers: number
}

const filesPerFolder = 250

/** Makes the image once, in an OCI layout of its own; the result is its name for `onefold pull`. */
export async function treeImage(shape: TreeShape): Promise<string> {
  const folder = join(benchFolder, 'trees', `${shape.files}-${shape.layers}`)
  const ready = join(folder, 'ready')
  if (!existsSync(ready)) {
    rmSync(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    const layout = new LayoutBuilder(folder)
    layout.tag(layout.image({ layers: layersOf(shape) }).manifest, 'latest')
    writeFileSync(ready, '')
  }
  return `oci:${folder}:latest`
}

function layersOf({ files, layers }: TreeShape): TestEntry[][] {
  const at = (layer: number) => Math.floor((layer * files) / layers)
  return Array.from({ length: layers }, (_, layer) => entriesOf(at(layer), at(layer + 1)))
}

/** Times differ as in a package's tree; every twentieth name is a symlink; contents repeat every 2,000 files. */
function entriesOf(from: number, to: number): TestEntry[] {
  const entries: TestEntry[] = []
  for (let number = from; number < to; number++) {
    const folder = `usr/share/package-${Math.floor(number / filesPerFolder)}`
    if (number === from || number % filesPerFolder === 0) entries.push(directory(folder))
    const path = `${folder}/component-${number}.module`
    const mtime = 1_600_000_000 + (number % 977) * 3600
    if (number % 20 === 19) entries.push(symlink(path, `component-${number - 1}.module`, { mtime }))
    else
      entries.push(file(path, `module ${number % 2000} `.repeat(20), { mtime, mode: number % 7 === 0 ? 0o755 : 0o644 }))
  }
  return entries
}
