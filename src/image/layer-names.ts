import { OnefoldError } from '../error.ts'
import { type Entry, newEntry } from '../formats/entry.ts'
import { whiteoutPrefix } from '../formats/oci/whiteouts.ts'
import { maxPathBytes, quoteName } from '../formats/path.ts'
import { type Inode, inodeOf } from '../formats/tree.ts'

/** Meaning of names in a layer (image-spec "layer.md", whiteouts), and the names that it therefore cannot hold. */

/** Makes a whiteout or the opaque marker: who made it and when says nothing, and is always the same. */
export function marker(parent: string, name: string): Entry {
  return newEntry({ path: join(parent, name), type: 'file', mode: 0o600 })
}

/** Throws UNSUPPORTED for a name or a device that would delete something, and for a path longer than Linux takes. */
export function checkLayerName(entry: Entry, name: string): void {
  const { path } = entry
  if (name.startsWith(whiteoutPrefix)) throw refused(path, 'in a layer, names that begin with .wh. delete others')
  if (isNullDevice(entry)) throw refused(path, 'in a layer, a character device 0:0 deletes a name')
  if (path.length > maxPathBytes) throw refused(path, `its path has ${path.length} bytes`)
}

/** Tells whether an entry is what overlayfs itself makes of a deleted name. */
export function isNullDevice({ type, major, minor }: Entry): boolean {
  return type === 'char' && major === 0 && minor === 0
}

export function refused(path: string, why: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot put ${quoteName(path)} into a layer: ${why}`)
}

export function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}

export function childOf(directory: Inode | undefined, name: string): Inode | undefined {
  const child = directory?.children?.get(name)
  return child && inodeOf(child)
}
