import { lstatSync } from 'node:fs'
import type { Digest, DiffId, RecipeDigest } from '../../digest.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { recipePath, recordPath } from '../store-layout.ts'
import type { Claims } from './claims.ts'
import type { Answer } from './examine.ts'
import type { Findings } from './findings.ts'
import type { Pool } from './fsck-pool.ts'
import type { CheckStep, FsckOptions } from './fsck-report.ts'

export interface RebuildOptions {
  readonly root: string
  readonly pool: Pool
  readonly findings: Findings
  readonly claims: Claims
  /**
   * Time (ctime, milliseconds) since which recipes and records have to be changed to be built again, and images made of
   * them.
   */
  readonly since: number
  readonly onProgress: FsckOptions['onProgress']
}

/** Builds the tar of every whole layer again, and composes every image whose layers are whole. */
export async function rebuildAll(options: RebuildOptions): Promise<void> {
  const { pool, claims } = options
  const rebuild = new Rebuild(options)
  for (const [recipe, diffId] of claims.recipes) await rebuild.layer(recipe, diffId)
  await pool.finish()
  for (const [manifest, record] of claims.records) await rebuild.image(manifest, record)
  await pool.finish()
}

class Rebuild {
  readonly #options: RebuildOptions
  /** Recipes that lack an object, or are damaged themselves. */
  readonly #lacking: ReadonlySet<string>
  readonly #changed = new Set<RecipeDigest>()
  #files = 0
  #bytes = 0

  constructor(options: RebuildOptions) {
    this.#options = options
    this.#lacking = lackingIn(options.findings)
  }

  async layer(recipe: RecipeDigest, diffId: DiffId | undefined): Promise<void> {
    const { root, pool, findings, claims } = this.#options
    if (!this.#isNew(recipePath(root, recipe))) return
    this.#changed.add(recipe)
    // What is no part of an image may lack objects: it is garbage.
    if (this.#lacking.has(recipe) || claims.isUnused(recipe)) return
    await pool.give({ kind: 'tar', root, recipe, diffId }, (answer) => {
      this.#tell('building layers again', answer)
      const found = { kind: 'recipe', name: recipe, file: `layers/${recipe}`, state: 'broken' } as const
      for (const { text } of answer.problems) findings.add({ ...found, problem: text }).users.add(recipe)
    })
  }

  async image(manifest: Digest, { images, layers, keepSelinux }: ImageRecord): Promise<void> {
    const { root, pool, findings, claims } = this.#options
    const want = images.default
    if (want === undefined || layers.some(({ recipe }) => !claims.recipes.has(recipe))) return
    if (!this.#isNew(recordPath(root, manifest)) && !layers.some(({ recipe }) => this.#changed.has(recipe))) return
    await pool.give({ kind: 'image', root, layers, keepSelinux }, (answer) => {
      this.#tell('composing images again', answer)
      const found = { kind: 'record', name: manifest, file: `records/${manifest}`, state: 'untrue' } as const
      for (const text of liesOf(answer, want))
        findings.add({ ...found, problem: `its image is ${want}: ${text}` }).users.add(manifest)
    })
  }

  #tell(step: CheckStep, answer: Answer): void {
    this.#bytes += answer.bytes
    this.#options.onProgress?.({ type: 'check', step, files: ++this.#files, bytes: this.#bytes })
  }

  #isNew(path: string): boolean {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    return stat !== undefined && stat.ctimeMs >= this.#options.since
  }
}

function lackingIn(findings: Findings): Set<string> {
  return new Set(
    findings.all().flatMap(({ kind, state, name, users }) => {
      if (state === 'exposed') return []
      return kind === 'object' ? [...users] : kind === 'recipe' ? [name] : []
    }),
  )
}

function liesOf({ problems, image }: Answer, want: string): string[] {
  const lie = image === undefined || image === want ? [] : [`its layers give ${image}`]
  return [...problems.map(({ text }) => text), ...lie]
}
