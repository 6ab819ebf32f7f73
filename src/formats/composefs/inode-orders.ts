/**
 * Orders to overlayfs in the attributes of an inode of a composefs image, beside what is the user's own: where a file's bytes lie, and
 * that it, or what lies in it, stands for whiteouts. Told as places in the image, so that nothing is made of a file that
 * nobody asks about.
 *
 * Two readers ask. The tree (inode-decoder.ts) believes a mark only together with those that have to go with it, and refuses an image
 * that orders overlayfs to show something else. The listing (image-nodes.ts) shows what composefs' own tools show, which
 * take each inode for what its own marks say.
 */
import type { ErofsReader } from '../erofs/erofs-reader.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import type { Span } from '../erofs/erofs-volume.ts'
import { type XattrName, XattrSpans } from '../erofs/erofs-xattr-reader.ts'
import { S_IFCHR, S_IFMT, S_IFREG } from '../tree.ts'
import { metacopyBytes, metacopyDigestAt } from './metacopy.ts'
import { type XattrRole, roleOf, whiteoutNames } from './overlay-xattrs.ts'

const [escapedWhiteout] = whiteoutNames
const SLASH = 0x2f

/** The attributes of one inode, good until the next one is read. */
export class InodeOrders {
  readonly xattrs = new XattrSpans()
  /** Whether it is an empty file with the mark of one that stands for a whiteout. */
  isMarkedWhiteout = false
  readonly #image: ErofsReader
  /** Roles by the ids of names. */
  readonly #roles: XattrRole[] = []
  /** Which of a regular file's attributes say that its bytes lie elsewhere, and where; -1 for none. */
  #metacopy = -1
  #redirect = -1

  constructor(image: ErofsReader) {
    this.#image = image
  }

  read(inode: RawInode): void {
    const { xattrs } = this
    this.#metacopy = -1
    this.#redirect = -1
    this.isMarkedWhiteout = false
    this.#image.readXattrs(inode, xattrs)
    if ((inode.mode & S_IFMT) !== S_IFREG) return
    for (let i = 0; i < xattrs.count; i++) {
      const role = this.roleOf(i)
      if (role === 'metacopy') this.#metacopy = i
      else if (role === 'redirect') this.#redirect = i
      else if (role === 'whiteout mark' && xattrs.names[i]?.text === escapedWhiteout)
        this.isMarkedWhiteout = inode.size === 0
    }
  }

  /** The role of the attribute at an index. */
  roleOf(index: number): XattrRole {
    const { id, text } = this.xattrs.names[index] as XattrName
    return (this.#roles[id] ??= roleOf(text))
  }

  /** The value that says that the bytes of a regular file lie elsewhere. */
  get metacopy(): Span | undefined {
    return this.#metacopy < 0 ? undefined : this.#valueSpan(this.#metacopy)
  }

  /** Offset of the 32 bytes of a sha256 digest; -1 without one. */
  get digestAt(): number {
    if (this.#metacopy < 0) return -1
    const from = this.xattrs.valueAt[this.#metacopy] as number
    return (this.xattrs.valueEnd[this.#metacopy] as number) - from === metacopyBytes ? from + metacopyDigestAt : -1
  }

  /** The value that says where the bytes of a regular file lie. */
  get redirect(): Span | undefined {
    return this.#redirect < 0 ? undefined : this.#valueSpan(this.#redirect)
  }

  /** The redirect below the object directories: without the slash that it begins with. */
  get place(): Span | undefined {
    if (this.#redirect < 0) return undefined
    const from = this.xattrs.valueAt[this.#redirect] as number
    const to = this.xattrs.valueEnd[this.#redirect] as number
    return [to - from > 1 && this.#image.bytes[from] === SLASH ? from + 1 : from, to]
  }

  #valueSpan(index: number): Span {
    return [this.xattrs.valueAt[index] as number, this.xattrs.valueEnd[index] as number]
  }
}

/** Whether an inode is a whiteout to overlayfs: only those in the root that hide the object directories may be. */
export function isWhiteoutDevice({ mode, union }: RawInode): boolean {
  return (mode & S_IFMT) === S_IFCHR && union === 0
}
