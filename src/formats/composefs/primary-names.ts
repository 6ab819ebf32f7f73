import type { Directory, Inode } from '../tree.ts'

/** A directory on the way from the root. */
export interface DirectoryStep {
  readonly directory: Directory
  /** undefined for the root. */
  readonly above: DirectoryStep | undefined
  readonly name: string
  readonly depth: number
}

/** A file that stands under another name than it was thought. */
export interface Move {
  readonly inode: Inode
  readonly from: Place
  readonly to: Place
}

interface Place {
  readonly step: DirectoryStep
  readonly name: string
}

interface Occurrence extends Place {
  /** Counts the names of a run. */
  readonly position: number
}

/**
 * The numbers of inodes tell which name is the primary one, but for names that follow one another, breadth-first, with
 * only further names in between: `var/b`, the last one of its depth, and `etc/d/a`, the first of the next, could both
 * have been counted. Trees of layers have the name that comes first depth-first; where all files of such a run can, they
 * get it. Either way the image is the same.
 */
export class PrimaryNames {
  /** Names of the files that were counted since the last one that has no other name. */
  readonly #run = new Map<Inode, Occurrence[]>()
  #position = 0
  #isAmbiguous = false
  /** Steps that comparing may still take; a hostile image is not worth more. */
  #steps: number
  readonly #mayStand: (inode: Inode, directory: Directory) => boolean

  constructor(steps: number, mayStand: (inode: Inode, directory: Directory) => boolean) {
    this.#steps = steps
    this.#mayStand = mayStand
  }

  /** A file that has further names was counted here. */
  counted(inode: Inode, step: DirectoryStep, name: string): void {
    this.#run.set(inode, [{ step, name, position: this.#position++ }])
  }

  /** A name of a file that was counted before. */
  further(inode: Inode, step: DirectoryStep, name: string): void {
    const names = this.#run.get(inode)
    if (names === undefined) return
    names.push({ step, name, position: this.#position++ })
    this.#isAmbiguous = true
  }

  /** Something that can only stand here was counted. Gives the files that have to move to another name. */
  end(): readonly Move[] {
    if (this.#run.size === 0) return []
    const moves = this.#isAmbiguous ? this.#moves() : []
    this.#run.clear()
    this.#position = 0
    this.#isAmbiguous = false
    return moves
  }

  #moves(): Move[] {
    const moves: Move[] = []
    let last = -1
    for (const [inode, names] of this.#run) {
      const [from] = names
      if (from === undefined) continue
      const possible = names.filter(({ step }) => this.#mayStand(inode, step.directory))
      const to = possible.reduce((first, other) => (this.#isBefore(other, first) ? other : first), possible[0] ?? from)
      // They were counted in this order: with another one, the image is not of a tree of layers.
      if (to.position < last || this.#steps < 0) return []
      last = to.position
      if (to !== from) moves.push({ inode, from, to })
    }
    return moves
  }

  /** Whether a name comes before another one in depth-first byte order. */
  #isBefore(a: Occurrence, b: Occurrence): boolean {
    let left: Place = a
    let right: Place = b
    while (left.step !== right.step && this.#steps-- > 0) {
      const [leftDepth, rightDepth]: [number, number] = [left.step.depth, right.step.depth]
      if (leftDepth >= rightDepth) left = placeOf(left.step)
      if (rightDepth >= leftDepth) right = placeOf(right.step)
    }
    return left.name < right.name
  }
}

function placeOf({ above, name }: DirectoryStep): Place {
  if (above === undefined) throw new Error('all names lie below one root')
  return { step: above, name }
}
