import type { Arena } from '../../content/arena.ts'
import { ContentCheck } from '../../content/content-check.ts'
import type { UnitReader } from '../../content/unit-reader.ts'
import { OnefoldError } from '../../error.ts'
import { canProve, identityOf, noDigests } from '../../formats/content-digests.ts'
import type { Extent, IndexedFile } from '../../formats/content-index.ts'
import { type Content, noContent, sizeOf } from '../../formats/entry.ts'
import { quoteName } from '../../formats/path.ts'
import type { HeldFile } from '../../store/index/held-contents.ts'
import type { Store } from '../../store/store.ts'
import type { FileIntake } from '../import/file-intake.ts'
import type { AssemblyWork, OpenOrigin, Origin, Piece, PieceSink } from './origins/origin.ts'
import type { LayerPlan } from './plan-layers.ts'

export interface AssembleOptions {
  readonly store: Store
  readonly units: UnitReader
  readonly arena: Arena
  readonly intake: FileIntake
  /** Contents assembled so far, by the name of their content; grows. */
  readonly assembled: Map<string, Content>
  readonly signal: AbortSignal | undefined
}

/** Brings the missing files of a layer into the transaction; returns the content of every file of its index. */
export async function assembleLayer(plan: LayerPlan, options: AssembleOptions): Promise<Content[]> {
  const own = new Map<number, Content>()
  using assembly = new FileAssembly(options)
  for (const number of plan.order) {
    options.signal?.throwIfAborted()
    const [file, how] = [plan.index.files[number], plan.files[number]]
    if (file === undefined || how?.kind !== 'assemble') continue
    const content = await assembly.file(file, how.pieces)
    own.set(number, content)
    const identity = identityOf(file.digests)
    if (identity !== undefined) options.assembled.set(identity, content)
  }
  await options.units.finish()
  options.intake.settle()
  return plan.index.files.map(
    (file, number) => own.get(number) ?? contentOf(file, plan.files[number], options.assembled),
  )
}

function contentOf(
  { entry, digests }: IndexedFile,
  plan: LayerPlan['files'][number],
  assembled: ReadonlyMap<string, Content>,
): Content {
  if (plan === undefined) return noContent
  const size = sizeOf(entry.content)
  if (plan.kind === 'held') return heldContent(plan.file, size)
  const same = assembled.get(identityOf(digests) ?? '')
  if (same !== undefined && sizeOf(same) === size) return same
  throw new OnefoldError('BAD_FORMAT', `Cannot assemble ${quoteName(entry.path)}: the file it equals did not come`)
}

function heldContent(file: HeldFile, size: number): Content {
  return file.kind === 'inline' ? { kind: 'inline', bytes: file.bytes } : { kind: 'object', digest: file.object, size }
}

/** Puts files together, one after the other, from wherever their pieces come. */
export class FileAssembly implements Disposable {
  readonly #intake: FileIntake
  readonly #work: AssemblyWork
  readonly #open = new Map<Origin, OpenOrigin>()

  constructor({ store, units, arena, intake }: Omit<AssembleOptions, 'assembled' | 'signal'>) {
    this.#intake = intake
    this.#work = { store, units, arena }
  }

  /**
   * Stages a file whose pieces all have the digests of the index; throws DIGEST_MISMATCH, and stages nothing, if not.
   */
  async file(file: IndexedFile, pieces: readonly Piece[]): Promise<Content> {
    const size = sizeOf(file.entry.content)
    if (pieces.some(({ origin }) => origin.isShared)) this.#intake.beginShared(size)
    else this.#intake.begin({ stored: size, size, ranges: undefined })
    let parts = 0
    try {
      parts = await this.#fill(file, pieces)
    } catch (error) {
      this.#intake.abandon()
      throw error
    }
    const content = this.#intake.end()
    // What came in parts was put together in one of two buffers, and the next such file gets the other.
    if (parts > 1) this.#intake.settle()
    for (const origin of this.#open.values()) origin.endFile?.()
    return content
  }

  [Symbol.dispose](): void {
    for (const origin of this.#open.values()) origin[Symbol.dispose]()
    this.#open.clear()
  }

  /** Writes the pieces of a file; returns the number of pieces of memory in which they came. */
  async #fill(file: IndexedFile, pieces: readonly Piece[]): Promise<number> {
    const check = new FileCheck(file, pieces.length === 1)
    const sink = new CheckedSink(this.#intake, check)
    for (const { extent, origin, place } of pieces) {
      check.begin(extent)
      const delivery = this.#openOrigin(origin).deliver(extent, place, sink)
      if (delivery !== undefined) await delivery
      check.endExtent()
    }
    check.endFile()
    return sink.parts
  }

  #openOrigin(origin: Origin): OpenOrigin {
    const known = this.#open.get(origin)
    if (known !== undefined) return known
    const opened = origin.open(this.#work)
    this.#open.set(origin, opened)
    return opened
  }
}

/** Checks the bytes that an origin delivers, and stages them. */
class CheckedSink implements PieceSink {
  parts = 0
  readonly #intake: FileIntake
  readonly #check: FileCheck

  constructor(intake: FileIntake, check: FileCheck) {
    this.#intake = intake
    this.#check = check
  }

  write(bytes: Uint8Array): void {
    this.#check.update(bytes)
    this.#intake.data(bytes)
    this.parts++
  }

  share(bytes: Uint8Array, fd: number, offset: number): void {
    this.#check.update(bytes)
    this.#intake.share(bytes, fd, offset)
  }
}

/**
 * Compares every extent with its digests, and the file with its own. Where both cover the same bytes, one is enough.
 */
class FileCheck {
  readonly #what: string
  readonly #whole: ContentCheck | undefined
  /** True when the file's digests cover all that those of its only extent do. */
  readonly #isSingle: boolean
  #extent: ContentCheck | undefined

  constructor({ digests, extents, entry }: IndexedFile, isSingle: boolean) {
    this.#what = quoteName(entry.path)
    this.#whole = ContentCheck.of(digests, this.#what, sizeOf(entry.content))
    const ofExtent = identityOf(extents[0]?.digests ?? noDigests)
    this.#isSingle = isSingle && canProve(digests) && [undefined, identityOf(digests)].includes(ofExtent)
  }

  begin({ digests, length }: Extent): void {
    this.#extent = this.#isSingle ? undefined : ContentCheck.of(digests, this.#what, length)
  }

  update(bytes: Uint8Array): void {
    this.#whole?.update(bytes)
    this.#extent?.update(bytes)
  }

  endExtent(): void {
    this.#extent?.finish()
  }

  endFile(): void {
    this.#whole?.finish()
  }
}
