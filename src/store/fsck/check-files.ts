import { hash, randomUUID } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { type VerityDigest, parseVerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { isOpenElsewhere } from '../../linux/flock.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { type FileToCheck, type Problem } from './examine.ts'
import type { Findings } from './findings.ts'
import type { Pool } from './fsck-pool.ts'
import type { CheckStep, FsckOptions, Sample } from './fsck-report.ts'
import type { NamedFile, Walk } from './fsck-walk.ts'

const filesPerJob = 64

/** Sizes of a million objects: 52 bits of the digest are enough to tell them apart nearly always. */
export class Sizes {
  readonly #sizes = new Map<number, number>()

  set(digest: VerityDigest, size: number): void {
    this.#sizes.set(keyOf(digest), size)
  }

  get(digest: VerityDigest): number | undefined {
    return this.#sizes.get(keyOf(digest))
  }
}

function keyOf(digest: VerityDigest): number {
  return Number.parseInt(digest.slice(0, 13), 16)
}

export interface FilesChecked {
  readonly files: number
  readonly bytes: number
  readonly hashed: number
}

/** Compares objects, or composefs images, with their names. */
export class FileCheck {
  readonly #walk: Walk
  readonly #findings: Findings
  readonly #pool: Pool
  readonly #onProgress: FsckOptions['onProgress']

  constructor(walk: Walk, findings: Findings, pool: Pool, onProgress: FsckOptions['onProgress']) {
    this.#walk = walk
    this.#findings = findings
    this.#pool = pool
    this.#onProgress = onProgress
  }

  async objects(sizes: Sizes, sinceOf: (digest: VerityDigest) => number): Promise<FilesChecked> {
    return this.#check('object', 'checking objects', sinceOf, sizes)
  }

  async images(sinceOf: (digest: VerityDigest) => number): Promise<FilesChecked> {
    return this.#check('image', 'checking images', sinceOf)
  }

  async #check(
    kind: 'object' | 'image',
    step: CheckStep,
    sinceOf: (digest: VerityDigest) => number,
    sizes?: Sizes,
  ): Promise<FilesChecked> {
    const total = { files: 0, bytes: 0, hashed: 0 }
    let read = 0
    const give = async (named: readonly NamedFile[]): Promise<void> => {
      const files = named.map(({ path, digest: text }): FileToCheck => {
        const digest = parseVerityDigest(text)
        return { path, digest, since: sinceOf(digest) }
      })
      await this.#pool.give({ kind: 'files', files, uid: this.#walk.uid, sealed: this.#walk.sealed }, (answer) => {
        for (const [i, { digest }] of files.entries()) {
          const size = answer.sizes[i] ?? -1
          if (size < 0) continue
          sizes?.set(digest, size)
          total.files++
          total.bytes += size
        }
        total.hashed += answer.hashed
        read += answer.bytes
        for (const problem of answer.problems) this.#note(kind, named[problem.index], problem)
        this.#onProgress?.({ type: 'check', step, files: total.files, bytes: read })
      })
    }
    let batch: NamedFile[] = []
    for (const file of this.#walk.files(kind === 'object' ? 'objects' : 'images')) {
      if (batch.push(file) < filesPerJob) continue
      await give(batch)
      batch = []
    }
    await give(batch)
    await this.#pool.finish()
    return total
  }

  #note(kind: 'object' | 'image', named: NamedFile | undefined, { state, text }: Problem): void {
    if (named === undefined) return
    const { digest, file, path } = named
    // The kernel reads on from the damaged file; gc must see by its name that a mount needs what the image names.
    const used = kind === 'image' && state === 'broken' && isMounted(path)
    const problem = used ? `${text}; a mount uses it: unmount that, and check again` : text
    const found = this.#findings.add({ kind, name: digest, file, state, problem })
    found.stays ||= used
    if (kind === 'image') found.users.add(digest)
  }
}

/**
 * Decides which objects are hashed: from which time of change on each. `names` is gone through for a sample of a fixed
 * count only.
 */
export function sampler(
  sample: Sample | undefined,
  since: number,
  names: () => Iterable<NamedFile>,
): { readonly sinceOf: (digest: VerityDigest) => number; readonly seed: string | undefined } {
  if (sample === undefined) return { sinceOf: () => since, seed: undefined }
  const seed = sample.seed ?? randomUUID().slice(0, 8)
  const limit = 'percent' in sample ? sample.percent / 100 : smallest(names(), seed, sample.count)
  return { sinceOf: (digest) => (rank(seed, digest) < limit ? since : Number.POSITIVE_INFINITY), seed }
}

/** A number between 0 and 1, the same for the same seed. */
function rank(seed: string, digest: string): number {
  return Number.parseInt(hash('sha256', `${seed} ${digest}`, 'hex').slice(0, 12), 16) / 2 ** 48
}

/** The rank below which `count` of them lie. */
function smallest(names: Iterable<NamedFile>, seed: string, count: number): number {
  const ranks = Float64Array.from(names, ({ digest }) => rank(seed, digest)).sort()
  return ranks[count] ?? 1
}

/** Whether a mount, in whatever namespace, may have the image open. */
function isMounted(path: string): boolean {
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false
  try {
    return isOpenElsewhere(pathFromUtf8(path))
  } catch (error) {
    // Somebody else's file, or a file system without leases: nobody can tell.
    if (error instanceof OnefoldError) return error.code !== 'NOT_FOUND'
    throw error
  }
}
