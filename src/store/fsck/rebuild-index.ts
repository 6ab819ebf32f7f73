import { lstatSync } from 'node:fs'
import { recipePath, recordPath } from '../store-layout.ts'
import type { Claims } from './claims.ts'
import type { Answer } from './examine.ts'
import type { Findings } from './findings.ts'
import type { Pool } from './fsck-pool.ts'
import type { CheckStep, FsckOptions } from './fsck-report.ts'

export interface RebuildOptions {
  /** Only recipes and records that were changed at this time (ctime, milliseconds) or later, and images made of them. */
  readonly since: number
  readonly onProgress: FsckOptions['onProgress']
}

/** Builds the tar of every whole layer again, and composes every image whose layers are whole. */
export async function rebuildAll(
  root: string,
  pool: Pool,
  findings: Findings,
  claims: Claims,
  { since, onProgress }: RebuildOptions,
): Promise<void> {
  let files = 0
  let bytes = 0
  const progress = (step: CheckStep, answer: Answer): void => {
    bytes += answer.bytes
    onProgress?.({ type: 'check', step, files: ++files, bytes })
  }
  const lacking = new Set(
    findings.all().flatMap(({ kind, state, name, users }) => {
      if (state === 'exposed') return []
      return kind === 'object' ? [...users] : kind === 'recipe' ? [name] : []
    }),
  )
  const changed = new Set<string>()
  for (const [recipe, diffId] of claims.recipes) {
    if (!changedSince(recipePath(root, recipe), since)) continue
    changed.add(recipe)
    // What is no part of an image may lack objects: it is garbage.
    if (lacking.has(recipe) || claims.isUnused(recipe)) continue
    await pool.give({ kind: 'tar', root, recipe, diffId }, (answer) => {
      progress('building layers again', answer)
      for (const { text } of answer.problems)
        findings
          .add({ kind: 'recipe', name: recipe, file: `layers/${recipe}`, state: 'broken', problem: text })
          .users.add(recipe)
    })
  }
  await pool.finish()
  for (const [manifest, record] of claims.records) {
    const want = record.images.default
    const { layers, keepSelinux } = record
    if (want === undefined || layers.some(({ recipe }) => !claims.recipes.has(recipe))) continue
    const isNew = changedSince(recordPath(root, manifest), since)
    if (!isNew && !layers.some(({ recipe }) => changed.has(recipe))) continue
    await pool.give({ kind: 'image', root, layers, keepSelinux }, (answer) => {
      progress('composing images again', answer)
      const lie = answer.image === undefined || answer.image === want ? undefined : `its layers give ${answer.image}`
      for (const text of [...answer.problems.map((problem) => problem.text), ...(lie === undefined ? [] : [lie])]) {
        const problem = `its image is ${want}: ${text}`
        findings
          .add({ kind: 'record', name: manifest, file: `records/${manifest}`, state: 'untrue', problem })
          .users.add(manifest)
      }
    })
  }
  await pool.finish()
}

function changedSince(path: string, since: number): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat !== undefined && stat.ctimeMs >= since
}
