import { OnefoldError } from '../error.ts'
import { readJson } from '../formats/json.ts'
import { readWhole } from './store-files.ts'
import { storeFile } from './store-layout.ts'
import { jsonBytes } from './records/image-record.ts'

/**
 * `store.json`, the last file written when a store is made, and replaced when a setting changes:
 *
 *     version           1; a reader refuses what is newer, whatever else it says
 *     objectAlgorithm   "fsverity-sha256-4096": how names of objects and images are computed
 *     verity            "auto" | "require" | "off": whether the kernel seals objects and images; absent: "auto"
 */
export interface StoreSettings {
  readonly verity: VerityPolicy
}

/**
 * `auto`: what a commit adds is sealed with fs-verity where the file system can. `require`: everything is, and what is
 * not cannot be mounted. `off`: nothing more is sealed.
 */
export type VerityPolicy = (typeof verityPolicies)[number]

export const verityPolicies = ['auto', 'require', 'off'] as const

const version = 1
const objectAlgorithm = 'fsverity-sha256-4096'

/** The settings of the store at `root`; undefined when there is none. */
export function readSettings(root: string): StoreSettings | undefined {
  const what = `the store "${root}"`
  const bytes = readWhole(`${root}/${storeFile}`, what, 64 * 1024)
  if (bytes === undefined) return undefined
  const fields = readJson(bytes, what)
  const found = fields.size('version')
  if (found !== version)
    throw new OnefoldError('UNSUPPORTED', `Cannot open ${what}: its format has version ${found}, expected ${version}`, {
      hint: 'Use the onefold that made it, or a newer one.',
    })
  if (fields.text('objectAlgorithm') !== objectAlgorithm) throw fields.bad('objectAlgorithm', objectAlgorithm)
  const verity = fields.string('verity') ?? 'auto'
  if (!isVerityPolicy(verity)) throw fields.bad('verity', verityPolicies.join(', '))
  return { verity }
}

export function formatSettings({ verity }: StoreSettings): Uint8Array {
  return jsonBytes({ version, objectAlgorithm, verity })
}

export function isVerityPolicy(text: string): text is VerityPolicy {
  return verityPolicies.some((policy) => policy === text)
}

/** The policy of a store that is known to be there. */
export function verityPolicy(root: string): VerityPolicy {
  return readSettings(root)?.verity ?? 'auto'
}
