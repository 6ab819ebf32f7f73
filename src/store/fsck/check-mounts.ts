import { existsSync, lstatSync } from 'node:fs'
import { type MountRecord, isMountId, mountFile, mountsPath, needsImage, readMountRecord } from '../mount-record.ts'
import { imagePath, mountsFolder } from '../store-layout.ts'
import { listFolder } from '../store-files.ts'
import type { Claims } from './claims.ts'
import type { Findings } from './findings.ts'
import type { Walk } from './fsck-walk.ts'

/** Looks at what mounts left in the store. Returns how many there are. */
export function checkMounts(root: string, walk: Walk, findings: Findings, claims: Claims): number {
  if (lstatSync(mountsPath(root), { throwIfNoEntry: false })?.isDirectory() !== true) return 0
  let count = 0
  for (const id of listFolder(mountsPath(root))) {
    const file = `${mountsFolder}/${id}`
    if (!isMountId(id)) {
      walk.strays.push(file)
      continue
    }
    const seen = walk.lookAt(file, 'folder')
    if (seen === undefined) continue
    count++
    const what = { kind: 'mount' as const, name: id, file: `${file}/${mountFile}` }
    if (!seen.stat.isDirectory()) {
      findings.add({ ...what, file, state: 'broken', problem: seen.exposed ?? 'it is not a folder' })
      continue
    }
    if (seen.exposed !== undefined) findings.add({ ...what, file, state: 'exposed', problem: seen.exposed })
    const mount = findings.try(what, () => readMountRecord(root, id))
    if (mount === undefined) continue
    const problem = problemOf(root, file, mount, claims)
    if (problem !== undefined) findings.add({ ...what, state: 'untrue', problem }).names.add(mount.name)
  }
  return count
}

function problemOf(root: string, file: string, mount: MountRecord, claims: Claims): string | undefined {
  if (!needsImage(mount)) return undefined
  // Changes in another place are their owner's to look after.
  const isLost = lstatSync(`${root}/${file}/upper`, { throwIfNoEntry: false })?.isDirectory() !== true
  if (mount.ownsChanges && isLost) return 'its changes are missing: there is no folder "upper"'
  const isThere = existsSync(imagePath(root, mount.image)) || claims.hasImage(mount.image)
  return isThere ? undefined : `its changes are to image ${mount.image}, which the store does not have`
}
