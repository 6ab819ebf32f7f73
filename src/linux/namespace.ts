import { namespaces } from './abi.ts'
import { cString, libcCall } from './libc.ts'
import { legacyMount } from './mount-calls.ts'

const unshareCall = libcCall('unshare', 'i')
const chrootCall = libcCall('chroot', 'p')

/**
 * Gives the calling thread, and the processes it starts from now on, mounts of their own: mounts and unmounts below
 * `mountPoint` do not show outside, and all of it ends with them.
 *
 * It is not `/` that is made private: a process in a chroot has none that is a mount point.
 */
export function enterMountNamespace(mountPoint: string): void {
  unshareCall('the mount namespace', namespaces.CLONE_NEWNS)
  legacyMount('none', mountPoint, '', namespaces.MS_REC | namespaces.MS_PRIVATE, '')
}

/** Makes the directory the root of the calling thread; after enterMountNamespace of that thread alone. */
export function chroot(path: string): void {
  chrootCall(JSON.stringify(path), cString(path))
  process.chdir('/')
}
