import { existsSync, lstatSync } from 'node:fs'
import { type VerityDigest, parseVerityDigest } from '../../digest.ts'
import { readJson } from '../../formats/json.ts'
import { readWhole } from '../store-files.ts'
import { imagePath } from '../store-layout.ts'
import { listFolder } from '../records/record-files.ts'
import type { Claims } from './claims.ts'
import type { Findings } from './findings.ts'
import type { Walk } from './fsck-walk.ts'

/** A `mount.json` as src/mount writes it, as far as the store is concerned. */
interface MountFile {
  readonly image: VerityDigest
  readonly name: string
  /** There are changes in `upper`, which mean nothing without the image below them. */
  readonly keepsChanges: boolean
}

/** Looks at what mounts left in the store. Returns how many there are. */
export function checkMounts(root: string, walk: Walk, findings: Findings, claims: Claims): number {
  if (!existsSync(`${root}/mounts`) || !lstatSync(`${root}/mounts`).isDirectory()) return 0
  let count = 0
  for (const id of listFolder(`${root}/mounts`)) {
    const file = `mounts/${id}`
    if (!/^[0-9a-f]{12}$/.test(id)) {
      walk.strays.push(file)
      continue
    }
    const seen = walk.lookAt(file, 'folder')
    if (seen === undefined) continue
    count++
    const what = { kind: 'mount' as const, name: id, file: `${file}/mount.json` }
    if (!seen.stat.isDirectory()) {
      findings.add({ ...what, file, state: 'broken', problem: seen.exposed ?? 'it is not a folder' })
      continue
    }
    if (seen.exposed !== undefined) findings.add({ ...what, file, state: 'exposed', problem: seen.exposed })
    const mount = findings.try(what, () => readMount(`${root}/${file}/mount.json`))
    if (mount === undefined) continue
    const problem = problemOf(root, file, mount, claims)
    if (problem !== undefined) findings.add({ ...what, state: 'untrue', problem }).names.add(mount.name)
  }
  return count
}

/** Undefined for one that is being made or removed, or was when the power went. */
function readMount(path: string): MountFile | undefined {
  const what = `"${path}"`
  const bytes = readWhole(path, what, 1024 * 1024)
  if (bytes === undefined || bytes.length === 0) return undefined
  const fields = readJson(bytes, what)
  return {
    image: parseVerityDigest(fields.text('image')),
    name: fields.text('name'),
    keepsChanges: fields.has('changes') && fields.boolean('ownsChanges') === true,
  }
}

function problemOf(root: string, file: string, mount: MountFile, claims: Claims): string | undefined {
  if (!mount.keepsChanges) return undefined
  if (lstatSync(`${root}/${file}/upper`, { throwIfNoEntry: false })?.isDirectory() !== true)
    return 'its changes are missing: there is no folder "upper"'
  const isThere = existsSync(imagePath(root, mount.image)) || claims.hasImage(mount.image)
  return isThere ? undefined : `its changes are to image ${mount.image}, which the store does not have`
}
