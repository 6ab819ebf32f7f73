import { randomInt } from 'node:crypto'
import { inspect, parseArgs } from 'node:util'
import { type Failure, type FuzzOptions, type FuzzResult, type Target, findTargets, runTarget } from './targets.ts'
import { watchOver } from './watch.ts'

const usage = `Usage: npm run fuzz -- [NAME…] [--rounds N | --seconds N] [--seed N]
       npm run fuzz -- --list

Feeds odd and damaged input to the parsers of bytes from outside. NAME is a file of test/fuzz, or a function in it.

  --rounds N   inputs for each function (default 10000)
  --seconds N  go on with each function for this long instead
  --seed N     where to start; the same seed gives the same inputs (default: random, and printed)
  --list       show what there is`

process.exitCode = await main()

async function main(): Promise<number> {
  const { values, positionals } = readArguments()
  if (values.help) return say(usage)
  const targets = await findTargets()
  if (values.list) return say(targets.map(({ name, module }) => `${name}  (${module})`).join('\n'))
  const unknown = positionals.filter((wanted) => !targets.some((target) => isCalled(target, wanted)))
  if (unknown.length > 0) return complain(`there is no ${unknown.join(', ')}; --list shows what there is`)
  const rounds = Number(values.rounds)
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds)
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
  if (![rounds, seconds ?? 1].every((number) => number > 0) || !Number.isSafeInteger(seed))
    return complain('--rounds and --seconds take numbers above 0, and --seed a whole one')
  const chosen = targets.filter((target) => positionals.length === 0 || positionals.some((it) => isCalled(target, it)))
  return fuzzAll(chosen, seed, rounds, seconds)
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '10000' },
        seconds: { type: 'string' },
        seed: { type: 'string' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    console.error(`Cannot fuzz: ${error instanceof Error ? error.message : String(error)}`)
    return process.exit(2)
  }
}

async function fuzzAll(
  targets: readonly Target[],
  seed: number,
  rounds: number,
  seconds: number | undefined,
): Promise<number> {
  say(`seed ${seed}`)
  const failures: string[] = []
  for (const target of targets) {
    if (target.skip !== undefined) {
      say(`${target.name}: skipped, ${target.skip}`)
      continue
    }
    const result = await fuzzOne(target, { seed, rounds, seconds })
    if (result.failure !== undefined) failures.push(describe(target, result.failure))
    say(`${target.name}: ${result.failure === undefined ? 'ok' : 'FAILED'} after ${result.rounds} rounds`)
  }
  for (const failure of failures) say(`\n${failure}`)
  if (failures.length > 0) say(`\n${failures.length} of ${targets.length} failed`)
  return failures.length > 0 ? 1 : 0
}

async function fuzzOne(target: Target, options: Omit<FuzzOptions, 'onBatch'>): Promise<FuzzResult> {
  using progress = showProgress(target.name)
  using watch = watchOver(target.name)
  return await runTarget(target, {
    ...options,
    onBatch(seed, rounds) {
      watch.batch(seed)
      progress.batch(seed, rounds)
    },
  })
}

/** How far it is, on a terminal all the time and elsewhere now and then. */
function showProgress(name: string): Disposable & { batch: (seed: number, rounds: number) => void } {
  const every = process.stderr.isTTY ? 200 : 20_000
  const clear = process.stderr.isTTY ? '\r\x1b[K' : ''
  let last = performance.now()
  return {
    batch(seed, rounds) {
      if (performance.now() - last < every) return
      last = performance.now()
      process.stderr.write(`${clear}${name}: ${rounds} rounds, seed ${seed}${clear === '' ? '\n' : ''}`)
    },
    [Symbol.dispose]: () => void process.stderr.write(clear),
  }
}

function describe({ name }: Target, { seed, rounds, error }: Failure): string {
  const found = error instanceof Error ? (error.stack ?? error.message) : inspect(error)
  return `${name} failed: ${found}\nAgain: npm run fuzz -- ${name} --seed ${seed} --rounds ${rounds}`
}

function isCalled(target: Target, wanted: string): boolean {
  return target.name === wanted || target.module === wanted
}

function say(text: string): number {
  console.log(text)
  return 0
}

function complain(found: string): number {
  console.error(`Cannot fuzz: ${found}`)
  return 2
}
