import { readdirSync } from 'node:fs'

/** Throws at the first input that a parser handles wrongly. The same seed gives the same inputs. */
export type Fuzz = (seed: number, rounds: number) => void | Promise<void>

export interface Target {
  /** Of the function: `fuzzTar`. */
  readonly name: string
  /** Of its file: `tar`. */
  readonly module: string
  readonly fuzz: Fuzz
  /** Why it cannot run here. */
  readonly skip: string | undefined
}

/** Every function of `test/fuzz/*.ts` whose name begins with `fuzz`. A module that needs something exports `needs`. */
export async function findTargets(): Promise<Target[]> {
  const files = readdirSync(import.meta.dirname).filter(
    (file) =>
      file.endsWith('.ts') && !file.endsWith('.test.ts') && !['main.ts', 'targets.ts', 'watch.ts'].includes(file),
  )
  const targets: Target[] = []
  for (const file of files.toSorted()) {
    const exported: unknown = await import(new URL(file, import.meta.url).href)
    targets.push(...targetsOf(file.slice(0, -'.ts'.length), exported as Readonly<Record<string, unknown>>))
  }
  return targets
}

function targetsOf(module: string, exported: Readonly<Record<string, unknown>>): Target[] {
  const skip = typeof exported['needs'] === 'string' ? exported['needs'] : undefined
  return Object.entries(exported).flatMap(([name, value]) =>
    name.startsWith('fuzz') && typeof value === 'function' ? [{ name, module, fuzz: value as Fuzz, skip }] : [],
  )
}

export interface FuzzOptions {
  readonly seed: number
  readonly rounds: number
  /** Goes on until then, whatever the rounds. */
  readonly seconds: number | undefined
  /** Hears how far it is, before every batch. */
  readonly onBatch: (seed: number, rounds: number) => void
}

export interface FuzzResult {
  readonly rounds: number
  readonly failure: Failure | undefined
}

/** What brings the failure back: these rounds of this seed. */
export interface Failure {
  readonly seed: number
  readonly rounds: number
  readonly error: unknown
}

const batchRounds = 200

/** Runs in batches, each with the next seed, so that a failure comes back without the batches before it. */
export async function runTarget(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  const until = options.seconds === undefined ? undefined : performance.now() + options.seconds * 1000
  let done = 0
  for (let { seed } = options; until === undefined ? done < options.rounds : performance.now() < until; seed++) {
    const rounds = until === undefined ? Math.min(batchRounds, options.rounds - done) : batchRounds
    options.onBatch(seed, done)
    try {
      await target.fuzz(seed, rounds)
    } catch (error) {
      return { rounds: done, failure: { seed, rounds, error } }
    }
    done += rounds
  }
  return { rounds: done, failure: undefined }
}
