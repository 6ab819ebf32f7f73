import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Suite } from './apt.ts'

/**
 * The images that benches pull, made from named Debian packages: the real thing's mix of file sizes, of many small
 * files and a few big ones, and of what stays the same between two builds.
 */
export interface ImageSpec {
  readonly name: string
  readonly layers: readonly LayerSpec[]
}

/** What these packages need and the layers below do not have yet. */
export interface LayerSpec {
  readonly suite: Suite
  readonly install: readonly string[]
  /** All files carry this time (seconds since 1970) instead of that of their package: a build on another day. */
  readonly built?: number
  /** Cut into this many layers, a few packages each. */
  readonly parts?: number
}

/** Where everything that a bench makes lies; inputs stay there for the next run. */
export const benchFolder = process.env['ONEFOLD_BENCH_DIR'] ?? join(tmpdir(), 'onefold-bench')

const bookworm = (...install: string[]): LayerSpec => ({ suite: 'bookworm', install })
const trixie = (...install: string[]): LayerSpec => ({ suite: 'trixie', install })
const secure = (...install: string[]): LayerSpec => ({ suite: 'bookworm-security', install })
const on = (day: number, layers: readonly LayerSpec[]): LayerSpec[] =>
  layers.map((layer) => ({ ...layer, built: 1_700_000_000 + day * 86_400 }))

const base = bookworm('?essential', 'apt')
const python = bookworm('python3-django', 'python3-pip')
const vim = bookworm('vim')

/** Four layers, about 15,000 files, about 360 MB. */
export const app: ImageSpec = { name: 'app', layers: [base, python, vim, bookworm('nodejs')] }

/** The app built again on another day with a newer Node: no layer is the same, 70 % of the bytes are. */
export const rebuild: ImageSpec = { name: 'rebuild', layers: on(1, [base, python, vim, trixie('nodejs')]) }

const programs: Readonly<Record<string, readonly string[]>> = {
  python: ['python3-django', 'python3-pip'],
  node: ['nodejs'],
  java: ['openjdk-17-jre-headless'],
  gcc: ['gcc'],
  postgres: ['postgresql-15'],
}

/** Five programs as they came with a release of Debian, and built on another day with all security updates since. */
export const updates: readonly (readonly [before: ImageSpec, after: ImageSpec])[] = Object.entries(programs).map(
  ([name, install]) => [
    { name: `${name}-1`, layers: [base, bookworm(...install)] },
    { name: `${name}-2`, layers: on(3, [secure('?essential', 'apt'), secure(...install)]) },
  ],
)

const rubyAndNginx = bookworm('?essential', 'apt', 'ruby', 'nginx')

/** A hundred layers, about 8,500 files, about 205 MB. */
export const hundred: ImageSpec = { name: 'hundred', layers: [{ ...rubyAndNginx, parts: 100 }] }

const others: Readonly<Record<string, { old: string[]; new: string[] }>> = {
  postgres: { old: ['postgresql-15'], new: ['postgresql-17'] },
  java: { old: ['default-jre-headless'], new: ['default-jre-headless'] },
  gcc: { old: ['gcc'], new: ['gcc'] },
  php: { old: ['php-cli', 'nginx'], new: ['php-cli', 'nginx'] },
  r: { old: ['r-base-core'], new: ['r-base-core'] },
}

/**
 * Twenty-one images as a host gathers them: seven programs, each as first built, as rebuilt on another day (every
 * layer has other bytes, every file the same), and with newer packages on the first base. One has a hundred layers.
 */
export const collection: readonly ImageSpec[] = [
  app,
  rebuild,
  { name: 'app-new', layers: [base, trixie('python3-django', 'python3-pip'), trixie('vim'), trixie('nodejs')] },
  hundred,
  { name: 'hundred-rebuild', layers: on(2, [base, bookworm('ruby', 'nginx')]) },
  { name: 'hundred-new', layers: [base, trixie('ruby', 'nginx')] },
  ...Object.entries(others).flatMap(([name, packages], index) => [
    { name, layers: [base, bookworm(...packages.old)] },
    { name: `${name}-rebuild`, layers: on(3 + index, [base, bookworm(...packages.old)]) },
    { name: `${name}-new`, layers: [base, trixie(...packages.new)] },
  ]),
]
