/**
 * Runs tests, each file in a process of its own, as many at once as there are cores.
 *
 *     node test/main.ts [--coverage] [--name PATTERN]… [FILE]…
 *
 * Files may be patterns; without them it runs all. `--name` picks tests whose name matches. The exit code is 1 when a test fails, or when
 * less of the code is covered than has been reached before.
 */
import { globSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { parseArgs } from 'node:util'
import report from './reporter.ts'

const root = join(import.meta.dirname, '..')
/** The longest a file may take before it counts as hanging; on a calm machine none takes a tenth of it. */
const hangMs = 600_000
/** These wait for other machines, and are the longest of all. */
const longest: readonly string[] = ['test/install/bare-debian.test.ts', 'test/qemu/verity.test.ts']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { coverage: { type: 'boolean', default: false }, name: { type: 'string', multiple: true, default: [] } },
})

const events = run({
  files: longestFirst(chosenTests()).map((file) => join(root, file)),
  concurrency: availableParallelism(),
  timeout: hangMs,
  testNamePatterns: values.name,
  ...(values.coverage && {
    coverage: true,
    coverageIncludeGlobs: ['src/**/*.ts'],
    coverageExcludeGlobs: ['**/*.test.ts'],
  }),
})
events.on('test:fail', () => void (process.exitCode = 1))
events.compose(report).pipe(process.stdout)

function chosenTests(): string[] {
  const patterns = positionals.length > 0 ? positionals : ['src/**/*.test.ts', 'test/**/*.test.ts']
  const files = globSync(patterns, { cwd: root })
  if (files.length === 0) throw new Error(`no file is called ${patterns.join(', ')}`)
  return files
}

/**
 * The short ones come last, so that all lanes end at about the same time: what lies in `test/` starts processes, and how
 * much a file does goes with its size.
 */
function longestFirst(files: readonly string[]): string[] {
  const rank = (file: string): number => (longest.includes(file) ? 2 : file.startsWith('test/') ? 1 : 0)
  const size = (file: string): number => statSync(join(root, file)).size
  return files.toSorted((a, b) => rank(b) - rank(a) || size(b) - size(a))
}
