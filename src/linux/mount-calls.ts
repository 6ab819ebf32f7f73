import { closeSync, readSync } from 'node:fs'
import { at, mountFlags as m, structs } from './abi.ts'
import { cString, errnoOfCall, isErrno, libcCall, openFlag, systemCall, systemError } from './libc.ts'

/** The new mount API (fsopen(2) and friends), plus what mount(2) still does better. Paths are latin1 strings. */

const fsopenCall = systemCall('fsopen', 'pl')
const fsconfigCall = systemCall('fsconfig', 'ilppl')
const fsmountCall = systemCall('fsmount', 'ill')
const moveMountCall = systemCall('move_mount', 'ipipl')
const openTreeCall = systemCall('open_tree', 'ipl')
const mountSetattrCall = systemCall('mount_setattr', 'iplpl')
const mountCall = libcCall('mount', 'ppplp')
const umount2Call = libcCall('umount2', 'pi')

/**
 * File system being configured. Each setting may fail; the error then carries what the kernel wrote about it into the
 * context's message queue, which says far more than EINVAL.
 */
export class FsContext implements Disposable {
  readonly type: string
  readonly #fd: number

  constructor(type: string) {
    this.type = type
    this.#fd = fsopenCall(JSON.stringify(type), cString(type), m.FSOPEN_CLOEXEC)
  }

  setFlag(key: string): void {
    this.#configure(`"${key}"`, m.FSCONFIG_SET_FLAG, cString(key), null, 0)
  }

  setString(key: string, value: string): void {
    this.#configure(`"${key}" to ${JSON.stringify(value)}`, m.FSCONFIG_SET_STRING, cString(key), cString(value), 0)
  }

  setFd(key: string, fd: number): void {
    this.#configure(`"${key}" to descriptor ${fd}`, m.FSCONFIG_SET_FD, cString(key), null, fd)
  }

  create(): void {
    this.#configure('up', m.FSCONFIG_CMD_CREATE, null, null, 0)
  }

  /** Makes the mount, attached nowhere; returns a descriptor that keeps it. */
  mount(attributes: number): number {
    return fsmountCall(this.type, this.#fd, m.FSMOUNT_CLOEXEC, attributes)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #configure(what: string, command: number, key: Uint8Array | null, value: Uint8Array | null, aux: number): void {
    try {
      fsconfigCall(what, this.#fd, command, key, value, aux)
    } catch (error) {
      const detail = this.#messages()
      throw systemError('fsconfig', `${what} of ${this.type}`, errnoOfCall(error), { action: 'set', detail })
    }
  }

  /**
   * Reads the kernel's messages: one per read, each with its level and a blank in front; ENODATA when there are no
   * more.
   */
  #messages(): string {
    const bytes = Buffer.alloc(4096)
    const messages: string[] = []
    try {
      for (;;) messages.push(bytes.toString('latin1', 2, readSync(this.#fd, bytes)).trim())
    } catch (error) {
      if (!isErrno(error, 'ENODATA')) throw error
    }
    return messages.join('; ')
  }
}

/** Attaches a detached mount to the directory. */
export function attachMount(mount: number, target: string): void {
  const none = cString('')
  moveMountCall(JSON.stringify(target), mount, none, at.AT_FDCWD, cString(target), m.MOVE_MOUNT_F_EMPTY_PATH)
}

/** Copies the mount at `path` and all below it (a bind mount), attached nowhere. */
export function cloneMount(path: string): number {
  const flags = m.OPEN_TREE_CLONE | at.AT_RECURSIVE | openFlag('O_CLOEXEC')
  return openTreeCall(JSON.stringify(path), at.AT_FDCWD, cString(path), flags)
}

export interface MountAttributes {
  readonly set?: number
  readonly clear?: number
  /** Descriptor of the user namespace whose id map the mount gets; `set` then holds MOUNT_ATTR_IDMAP. */
  readonly userNamespace?: number
}

export function setMountAttributes(mount: number, attributes: MountAttributes): void {
  const layout = structs.mount_attr
  const bytes = Buffer.alloc(layout.size)
  bytes.writeBigUInt64LE(BigInt(attributes.set ?? 0), layout.attr_set)
  bytes.writeBigUInt64LE(BigInt(attributes.clear ?? 0), layout.attr_clr)
  bytes.writeBigUInt64LE(BigInt(attributes.userNamespace ?? 0), layout.userns_fd)
  mountSetattrCall(`descriptor ${mount}`, mount, cString(''), at.AT_EMPTY_PATH, bytes, layout.size)
}

/** Calls mount(2), for what the new API cannot say. `data` is the comma-separated option string. */
export function legacyMount(source: string, target: string, type: string, flags: number, data: string): void {
  mountCall(JSON.stringify(target), cString(source), cString(target), cString(type), flags, cString(data))
}

/**
 * Takes away the topmost mount at the path; with `lazy` at once, also when files are open, and the kernel tidies up
 * later.
 */
export function unmount(target: string, options: { readonly lazy?: boolean } = {}): void {
  umount2Call(JSON.stringify(target), cString(target), m.UMOUNT_NOFOLLOW | (options.lazy === true ? m.MNT_DETACH : 0))
}

/** Tells whether this kernel knows the file system, by asking for a context of it. */
export function knowsFileSystem(type: string): boolean {
  try {
    new FsContext(type)[Symbol.dispose]()
    return true
  } catch (error) {
    if (isErrno(error, 'ENODEV', 'ENOSYS')) return false
    throw error
  }
}
