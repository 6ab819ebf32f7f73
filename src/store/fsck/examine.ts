import { type Stats, closeSync, fstatSync, readSync } from 'node:fs'
import { DigestCheck, type DiffId, type RecipeDigest, type VerityDigest } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { Composer } from '../../image/composer.ts'
import { measureVerity } from '../../linux/fs-verity.ts'
import { fileError, openRegular } from '../store-files.ts'
import { rebuildTar } from '../recipes/rebuild-tar.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import type { LayerKind } from '../../formats/layer-kind.ts'
import type { DamageState } from './fsck-report.ts'

/** A job for a thread: everything that reads more than a few kilobytes. Jobs and answers are plain values. */
export type Job = FilesJob | TarJob | ImageJob

/** Objects or images to be compared with their names. */
export interface FilesJob {
  readonly kind: 'files'
  readonly files: readonly FileToCheck[]
  /** User to whom they should belong. */
  readonly uid: number
  /** Whether they have to be sealed with fs-verity. */
  readonly sealed: boolean
}

export interface FileToCheck {
  readonly path: string
  readonly digest: VerityDigest
  /** Hash it only if it was changed at this time (milliseconds) or later; Infinity: look at its inode alone. */
  readonly since: number
}

/** A layer to be built again; `diffId` is what its tar has to hash to, if that is known. */
export interface TarJob {
  readonly kind: 'tar'
  readonly root: string
  readonly recipe: RecipeDigest
  readonly diffId: DiffId | undefined
}

/** An image to be composed again from its layers, the lowest first. */
export interface ImageJob {
  readonly kind: 'image'
  readonly root: string
  readonly layers: readonly { readonly recipe: RecipeDigest; readonly kind: LayerKind }[]
  readonly keepSelinux: boolean
}

export interface Answer {
  /** Size of each file, in order; -1 when there is none. Of a tar, its size. */
  readonly sizes: readonly number[]
  readonly problems: readonly Problem[]
  /** Number of files that were hashed. */
  readonly hashed: number
  /** Bytes that were read. */
  readonly bytes: number
  /** Digest of the image that its layers give. */
  readonly image?: VerityDigest
}

export interface Problem {
  /** Place of the file it is about among the job's. */
  readonly index: number
  readonly state: DamageState
  readonly text: string
}

export function examine(job: Job): Answer {
  switch (job.kind) {
    case 'files':
      return examineFiles(job)
    case 'tar':
      return buildTar(job)
    case 'image':
      return compose(job)
  }
}

const buffer = Buffer.allocUnsafe(1024 * 1024)
const hasher = new VerityHasher()

function examineFiles({ files, uid, sealed }: FilesJob): Answer {
  const answer = { sizes: [] as number[], problems: [] as Problem[], hashed: 0, bytes: 0 }
  for (const [index, file] of files.entries()) {
    const bad = (state: DamageState, text: string): void => void answer.problems.push({ index, state, text })
    answer.sizes.push(-1)
    try {
      const open = openRegular(file.path, 'it')
      if (open === undefined) continue
      try {
        answer.sizes[index] = open.size
        const stat = fstatSync(open.fd)
        if (stat.ctimeMs >= file.since) {
          answer.hashed++
          const { digest, bytes } = hashFile(open.fd, open.size)
          answer.bytes += bytes
          if (digest !== file.digest) bad('broken', `its bytes hash to ${digest}`)
        }
        const exposed = exposure(stat, 0o444, uid) ?? (sealed ? unsealed(open.fd, file.digest) : undefined)
        if (exposed !== undefined) bad('exposed', exposed)
      } finally {
        closeSync(open.fd)
      }
    } catch (error) {
      const own = fileError('read', file.path, error)
      // Bad sectors, and pages that fs-verity refuses, are EIO. That we may not read, or have no memory, says nothing.
      if (own.code !== 'CORRUPT' && errnoOf(error) !== 'EIO' && errnoOf(own.cause) !== 'EIO') throw own
      bad('broken', own.code === 'CORRUPT' ? 'it is not a regular file' : own.message)
    }
  }
  return answer
}

/**
 * Says why others could change a file. A mount reads the very file: who may write to it changes what containers run.
 */
export function exposure({ mode, uid }: Pick<Stats, 'mode' | 'uid'>, want: number, owner: number): string | undefined {
  if (uid !== owner) return `it belongs to user ${uid}, expected ${owner}`
  if ((mode & 0o777) !== want) return `its mode is ${octal(mode & 0o777)}, expected ${octal(want)}`
  return undefined
}

/** Says why a file is not sealed: it can be changed by whoever gets at it then, and no mount of this store reads it. */
function unsealed(fd: number, digest: VerityDigest): string | undefined {
  const measured = measureVerity(fd)
  if (measured === digest) return undefined
  return `fs-verity measures ${measured ?? 'nothing'}, and the store requires that it is sealed`
}

export function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

/** Hashes a file to the end that it has, or had when it was opened: one read for a file that fits. */
function hashFile(fd: number, size: number): { digest: VerityDigest; bytes: number } {
  let bytes = 0
  try {
    while (bytes < size) {
      const length = readSync(fd, buffer, 0, buffer.length, bytes)
      if (length === 0) break
      hasher.update(buffer.subarray(0, length))
      bytes += length
    }
    return { digest: hasher.digest(), bytes }
  } catch (error) {
    // It is used again, for another file.
    hasher.digest()
    throw error
  }
}

function buildTar({ root, recipe, diffId }: TarJob): Answer {
  try {
    const bytes = readRecipeFile(root, recipe)
    // Taken away since it was found there.
    if (bytes === undefined) return { sizes: [-1], problems: [], hashed: 0, bytes: 0 }
    const check = diffId && new DigestCheck(diffId)
    let size = 0
    for (const piece of rebuildTar(root, readRecipe(bytes))) {
      check?.update(piece)
      size += piece.length
    }
    check?.finish(`the tar that recipe ${recipe} gives`)
    return { sizes: [size], problems: [], hashed: 0, bytes: size }
  } catch (error) {
    return failed(error)
  }
}

function compose({ root, layers, keepSelinux }: ImageJob): Answer {
  try {
    const composer = new Composer({ keepSelinux })
    for (const [place, { recipe, kind }] of layers.entries()) {
      const bytes = readRecipeFile(root, recipe)
      if (bytes === undefined) return { sizes: [-1], problems: [], hashed: 0, bytes: 0 }
      composer.layer([place], { bytes, kind })
    }
    let size = 0
    const { digest } = composer.finish((piece) => void (size += piece.length))
    return { sizes: [size], problems: [], hashed: 0, bytes: size, image: digest }
  } catch (error) {
    return failed(error)
  }
}

function failed(error: unknown): Answer {
  if (!(error instanceof OnefoldError)) throw error
  return { sizes: [-1], problems: [{ index: 0, state: 'untrue', text: error.message }], hashed: 0, bytes: 0 }
}
