/**
 * Turns a tree into a layer: the upper directory of an overlay, which says what was changed in the overlay's own
 * terms, or a plain directory, in which every name is data.
 *
 *     upper directory                                   layer (image-spec "layer.md")
 *     char device 0:0, file with overlay.whiteout       .wh.NAME, where the image has NAME
 *     directory with overlay.opaque=y                   the directory and, where the image has one, .wh..wh..opq
 *     directory with overlay.redirect (was renamed)     the same, and all of the lower directory that still shows in it
 *     file with overlay.metacopy                        the file with its new metadata and the bytes of the lower one
 *     overlay.origin, .impure, .nlink …                 nothing
 *
 * Nothing that a layer cannot say is guessed at: it is refused by name.
 */
import { OnefoldError } from '../../error.ts'
import { type Content, type Entry, noXattrs, sizeOf } from '../../formats/entry.ts'
import { nodeTypeOf } from '../../formats/node-type.ts'
import { opaqueMarker, whiteoutPrefix } from '../../formats/oci/whiteouts.ts'
import { maxNameBytes, quoteName } from '../../formats/path.ts'
import { type Directory, type Inode, isDirectory, sortedNames } from '../../formats/tree.ts'
import { sameXattrs } from '../diff-trees.ts'
import { entryOf } from '../tree-entries.ts'
import { childOf, isNullDevice, join, marker, checkLayerName, refused } from '../layer-names.ts'
import { LowerNames } from './lower-names.ts'
import { type OverlayMarks, type OverlayPrefix, layerXattrs, losesTrusted, overlayMarks } from './upper-xattrs.ts'

export type { OverlayPrefix } from './upper-xattrs.ts'

/** Name as it was found; the walk comes to directories before their names, and to siblings in byte order. */
export interface UpperName {
  readonly entry: Entry
}

/** Name of the layer. Without `found` its bytes are the entry's own content. */
export interface LayerName<Found> {
  readonly entry: Entry
  readonly found: Found | undefined
}

export interface UpperOptions {
  /**
   * Namespace of the attributes in which the overlay that made the directory kept its account; undefined for a plain
   * directory.
   */
  readonly prefix: OverlayPrefix | undefined
  /** Tree of the image below; undefined when the layer is an image's first. */
  readonly lower: Directory | undefined
  /** Keeps `security.selinux`, which names labels of this machine's policy. */
  readonly keepSelinux: boolean
  /** Called with what was left out, and why. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/**
 * Yields the names of the layer, in depth-first byte order: the same for the same directory and image, on any machine.
 */
export function* layerOf<Found extends UpperName>(
  names: Iterable<Found>,
  options: UpperOptions,
): Generator<LayerName<Found>> {
  yield* new UpperReader<Found>(options).layer(names)
}

/** Directory of the layer that is not finished. */
interface Level {
  readonly path: string
  readonly holdsWhiteouts: boolean
  /** Lower directory that the overlay shows through it. */
  readonly lower: Directory | undefined
  /** Directory that the image below has at this place, as far as the layer has not hidden it. */
  readonly under: Directory | undefined
  /**
   * Names of `lower` that the layer has to repeat, as it lies elsewhere in the image: all but those of the upper one.
   */
  readonly repeated: readonly string[]
  next: number
}

class UpperReader<Found extends UpperName> {
  readonly #options: UpperOptions
  readonly #levels: Level[] = []
  /** Paths of whiteouts: the kernel gives all of them one inode, so most are found as hard links to the first. */
  readonly #whiteouts = new Set<string>()
  readonly #lowerNames: LowerNames
  #userMarks = 0
  #trustedMarks = 0

  constructor(options: UpperOptions) {
    this.#options = options
    this.#lowerNames = new LowerNames(options)
  }

  *layer(names: Iterable<Found>): Generator<LayerName<Found>> {
    for (const found of names) {
      const { path } = found.entry
      this.#countMarks(found.entry)
      if (path === '') yield* this.#root(found)
      else {
        const slash = path.lastIndexOf('/')
        const name = path.slice(slash + 1)
        yield* this.#repeatUpTo(slash < 0 ? '' : path.slice(0, slash), name)
        yield* this.#name(found, name)
      }
    }
    while (this.#levels.length > 0) yield* this.#leave()
    this.#hintAtUserxattr()
  }

  *#root(found: Found): Generator<LayerName<Found>> {
    const { lower } = this.#options
    const { holdsWhiteouts } = this.#marks(found.entry)
    this.#levels.push({ path: '', holdsWhiteouts, lower, under: lower, repeated: [], next: 0 })
    const made = this.#own(found)
    // An upper directory always has a root; only one that differs is a change.
    if (lower === undefined || !sameMetadata(made.entry, entryOf('', lower))) yield made
  }

  /** Leaves directories until the one at `path` is reached, and repeats what comes before `name` in it. */
  *#repeatUpTo(path: string, name: string): Generator<LayerName<Found>> {
    while (this.#level.path !== path) yield* this.#leave()
    const level = this.#level
    for (; level.next < level.repeated.length; level.next++) {
      const next = level.repeated[level.next] ?? ''
      if (next > name) return
      if (next < name) yield* this.#repeat(level, next)
    }
  }

  *#leave(): Generator<LayerName<Found>> {
    const level = this.#level
    for (; level.next < level.repeated.length; level.next++)
      yield* this.#repeat(level, level.repeated[level.next] ?? '')
    this.#levels.pop()
  }

  get #level(): Level {
    const level = this.#levels.at(-1)
    if (level === undefined) throw new Error('a walk begins with its root')
    return level
  }

  *#name(found: Found, name: string): Generator<LayerName<Found>> {
    const { entry } = found
    const marks = this.#marks(entry)
    if (this.#isWhiteout(entry, marks)) {
      this.#whiteouts.add(entry.path)
      yield* this.#whiteout(entry, name)
      return
    }
    checkLayerName(entry, name)
    if (entry.type === 'directory') yield* this.#directory(found, name, marks)
    else if (entry.type === 'file' && marks.metacopy)
      yield { ...this.#own(found, this.#lowerContent(entry, name, marks)), found: undefined }
    else yield this.#own(found)
  }

  #isWhiteout(entry: Entry, marks: OverlayMarks): boolean {
    if (this.#options.prefix === undefined) return false
    if (entry.type === 'hardlink') return this.#whiteouts.has(entry.link)
    if (entry.type === 'file') return marks.whiteout && this.#level.holdsWhiteouts && sizeOf(entry.content) === 0
    return isNullDevice(entry)
  }

  *#whiteout(entry: Entry, name: string): Generator<LayerName<Found>> {
    const { path, under } = this.#level
    if (under?.children.has(name) !== true) return
    if (name.startsWith(whiteoutPrefix) || whiteoutPrefix.length + name.length > maxNameBytes)
      throw refused(entry.path, 'a layer has no way to say that a file of this name was deleted')
    yield this.#marker(path, whiteoutPrefix + name)
  }

  *#directory(found: Found, name: string, marks: OverlayMarks): Generator<LayerName<Found>> {
    const { path } = found.entry
    const parent = this.#level
    const there = directoryAt(parent.under, name)
    const lower = this.#lowerDirectory(path, name, marks)
    yield this.#own(found)
    const isElsewhere = lower !== there
    if (isElsewhere && there !== undefined) yield this.#marker(path, opaqueMarker)
    this.#levels.push({
      path,
      holdsWhiteouts: marks.holdsWhiteouts,
      lower,
      under: isElsewhere ? undefined : there,
      repeated: isElsewhere && lower !== undefined ? sortedNames(lower) : [],
      next: 0,
    })
  }

  #lowerDirectory(path: string, name: string, { opaque, redirect }: OverlayMarks): Directory | undefined {
    if (opaque) return undefined
    if (redirect === undefined) return directoryAt(this.#level.lower, name)
    const lower = this.#redirected(path, redirect)
    return lower !== undefined && isDirectory(lower) ? lower : undefined
  }

  #lowerContent(entry: Entry, name: string, { redirect }: OverlayMarks): Content {
    this.#refuseForeign(entry.path)
    const lower = redirect === undefined ? childOf(this.#level.lower, name) : this.#redirected(entry.path, redirect)
    const size = sizeOf(entry.content)
    if (lower !== undefined && nodeTypeOf(lower) === 'file' && sizeOf(lower.content) === size) return lower.content
    const found = lower === undefined ? 'nothing is there' : `there are ${sizeOf(lower.content)}`
    throw bad(entry.path, `the image below should have its ${size} bytes, but ${found}`)
  }

  /**
   * Follows a redirect (ovl_check_redirect): a name in the parent's lower directory, or a path from the image's root.
   */
  #redirected(path: string, redirect: string): Inode | undefined {
    this.#refuseForeign(path)
    const isAbsolute = redirect.startsWith('/')
    const names = (isAbsolute ? redirect.slice(1) : redirect).split('/')
    if (names.includes('') || (!isAbsolute && names.length > 1))
      throw bad(path, `overlayfs cannot have redirected it to ${quoteName(redirect)}`)
    let at: Inode | undefined = isAbsolute ? this.#options.lower : this.#level.lower
    for (const name of names) at = at !== undefined && isDirectory(at) ? childOf(at, name) : undefined
    return at
  }

  /**
   * Throws BAD_FORMAT under `user.overlay.*`: the kernel follows neither redirect nor metacopy where it was told to
   * believe those.
   */
  #refuseForeign(path: string): void {
    if (this.#options.prefix === 'user') throw bad(path, 'a mount with userxattr does not redirect')
  }

  *#repeat({ path, lower }: Level, name: string): Generator<LayerName<Found>> {
    for (const entry of this.#lowerNames.all(join(path, name), childOf(lower, name))) yield { entry, found: undefined }
  }

  #marker(parent: string, name: string): LayerName<Found> {
    return { entry: marker(parent, name), found: undefined }
  }

  #own(found: Found, content?: Content): LayerName<Found> {
    const { entry } = found
    if (losesTrusted(entry.xattrs)) this.#warn(entry.path, 'its trusted.* attributes are left out')
    const xattrs = this.#xattrs(entry, this.#options.prefix)
    return { entry: { ...entry, xattrs, content: content ?? entry.content }, found }
  }

  #xattrs(entry: Entry, prefix: OverlayPrefix | undefined): Entry['xattrs'] {
    return layerXattrs(entry, { prefix, keepSelinux: this.#options.keepSelinux })
  }

  #marks(entry: Entry): OverlayMarks {
    const { prefix } = this.#options
    return overlayMarks(prefix === undefined ? noXattrs : entry.xattrs, prefix ?? 'trusted')
  }

  #countMarks({ xattrs }: Entry): void {
    for (const name of xattrs.keys()) {
      if (name.startsWith('trusted.overlay.')) this.#trustedMarks++
      else if (/^user\.overlay\.(?:opaque|origin|impure|whiteout)$/.test(name)) this.#userMarks++
    }
  }

  #hintAtUserxattr(): void {
    if (this.#options.prefix !== 'trusted' || this.#userMarks === 0 || this.#trustedMarks > 0) return
    this.#options.onWarning?.(
      'user.overlay.* attributes are kept as data; if the directory is from a mount with userxattr, say --userxattr',
    )
  }

  #warn(path: string, why: string): void {
    this.#options.onWarning?.(`${quoteName(path)}: ${why}`)
  }
}

function sameMetadata(a: Entry, b: Entry): boolean {
  const keys = ['mode', 'uid', 'gid', 'mtime', 'mtimeNsec'] as const
  return keys.every((key) => a[key] === b[key]) && sameXattrs(a.xattrs, b.xattrs)
}

function directoryAt(parent: Directory | undefined, name: string): Directory | undefined {
  const child = childOf(parent, name)
  return child !== undefined && isDirectory(child) ? child : undefined
}

function bad(path: string, found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read ${quoteName(path)} as overlayfs left it: ${found}`, {
    hint: 'The directory has to lie over the image that it was changed on.',
  })
}
