import { availableParallelism } from 'node:os'
import { isatty } from 'node:tty'
import { closeSync, openSync } from 'node:fs'
import { readPieces } from '../../linux/descriptor-io.ts'
import { pathToBytes } from '../../paths.ts'
import { terminalOutput } from '../output.ts'
import { OnefoldError } from '../../error.ts'
import { DumpReader, type DumpedTree } from '../../formats/dump/read-dump.ts'
import { type ErofsOptions, type ErofsPlan, planErofs } from '../../formats/composefs/plan-image.ts'
import { streamErofs } from '../../formats/composefs/write-image.ts'
import { VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import { attempt, failed, usageError } from './tool-failure.ts'
import { ToolOutput } from './tool-files.ts'
import { type OptionTable, parseOptions } from './getopt.ts'
import { type ScanOptions, scanTree } from '../../scan/scan-directory.ts'
import { ScanError, type ScanFailure } from '../../scan/scan-error.ts'

/** `mkcomposefs`: the image of a directory, or of a dump, byte for byte as composefs' own tool writes it. */
export async function mkcomposefs(args: readonly string[]): Promise<void> {
  const request = parseRequest(args)
  const out = terminalOutput({ json: false, quiet: false, verbose: false })
  using file = openImage(request.image)
  const plan = request.fromFile ? planDump(request) : await planScan(request)
  const hasher = request.printDigest ? new VerityHasher() : undefined
  attempt('cannot write file', () => {
    file?.truncate()
    streamErofs(plan, (piece) => {
      hasher?.update(piece)
      if (request.image === '-') out.bytes(piece)
      else file?.append(piece)
    })
  })
  if (hasher !== undefined) out.bytes(Buffer.from(`${hasher.digest()}\n`))
}

interface Request {
  readonly source: string
  /** A path, `-` for stdout, undefined when only the digest is wanted. */
  readonly image: string | undefined
  readonly fromFile: boolean
  readonly printDigest: boolean
  readonly versions: ErofsOptions
  readonly scan: ScanOptions
  /** --skip-xattrs and --user-xattrs contradict each other. */
  readonly bothXattrs: boolean
}

const optionTable: OptionTable = {
  flags: [
    'skip-xattrs',
    'user-xattrs',
    'skip-devices',
    'use-epoch',
    'hardlinks',
    'print-digest',
    'print-digest-only',
    'from-file',
  ],
  withValue: ['digest-store', 'max-version', 'min-version', 'threads'],
}

function parseRequest(args: readonly string[]): Request {
  const { options, operands } = parseOptions(args, optionTable)
  const given = new Map<string, string>()
  for (const option of options) {
    if ('problem' in option)
      throw option.problem === 'missing' ? usageError('option needs a value') : usageError('', usage())
    checkNumber(option.name, option.value)
    given.set(option.name, option.value)
  }
  const onlyDigest = given.has('print-digest-only')
  const [source, image] = checkOperands(operands, onlyDigest)
  return {
    source,
    image,
    fromFile: given.has('from-file'),
    printDigest: onlyDigest || given.has('print-digest'),
    versions: versionsOf(given),
    scan: scanOptions(given),
    bothXattrs: given.has('skip-xattrs') && given.has('user-xattrs'),
  }
}

function checkOperands(operands: readonly string[], onlyDigest: boolean): [source: string, image: string | undefined] {
  const [source, image] = operands
  if (source === undefined) throw usageError('No source path specified', usage())
  if (source === '') throw new OnefoldError('BAD_NAME', 'Empty source path specified')
  if (operands.length > 2) throw usageError('Too many arguments', usage())
  if (image === undefined && !onlyDigest) throw usageError('No destination path specified', usage())
  if (image !== undefined && onlyDigest)
    throw usageError('Cannot specify destination path with --print-digest-only', usage())
  return [source, image]
}

const numberNames = new Map([
  ['min-version', 'min version'],
  ['max-version', 'max version'],
  ['threads', 'threads count'],
])

function checkNumber(name: string, value: string): void {
  const what = numberNames.get(name)
  if (what === undefined) return
  if (!/^[\t-\r ]*[+-]?[0-9]+$/.test(value) || (name === 'threads' && Number(value) <= 0))
    throw usageError(`Invalid ${what} ${value}`)
}

/** The versions that may be used: giving one of them makes the other 0. */
function versionsOf(given: ReadonlyMap<string, string>): ErofsOptions {
  if (!given.has('min-version') && !given.has('max-version')) return {}
  const [min, max] = ['min-version', 'max-version'].map((name) => Number(given.get(name) ?? 0))
  if (!isVersion(min) || !isVersion(max)) throw new OnefoldError('UNSUPPORTED', 'cannot write file: Invalid argument')
  return { minVersion: min, maxVersion: max }
}

function isVersion(value: number | undefined): value is 0 | 1 {
  return value === 0 || value === 1
}

function scanOptions(given: ReadonlyMap<string, string>): ScanOptions {
  const store = given.get('digest-store')
  return {
    hardLinks: given.has('hardlinks'),
    xattrs: given.has('skip-xattrs') ? 'none' : given.has('user-xattrs') ? 'user' : 'all',
    skipDevices: given.has('skip-devices'),
    epoch: given.has('use-epoch'),
    threads: Number(given.get('threads') ?? availableParallelism()),
    ...(store !== undefined && { objects: store }),
  }
}

function openImage(path: string | undefined): ToolOutput | undefined {
  if (path === undefined) return undefined
  if (path !== '-') return new ToolOutput(path, 'failed to open output file')
  if (isatty(1)) throw new OnefoldError('USAGE', 'mkcomposefs: stdout is a tty.  Refusing to use it')
  return undefined
}

function planDump({ source, versions }: Request): ErofsPlan {
  const { tree, children } = readDump(source)
  return attempt('cannot write file', () => planErofs(tree, versions, children))
}

function readDump(source: string): DumpedTree {
  const strict = process.env['CFS_PARSE_STRICT'] !== undefined
  const reader = new DumpReader({ compat: true, checks: strict })
  const fd = source === '-' ? 0 : attempt(`open \`${source}\``, () => openSync(pathToBytes(source), 'r'))
  try {
    for (const piece of readPieces(fd)) reader.write(piece)
    return reader.end()
  } catch (error) {
    throw error instanceof OnefoldError ? error : failed('Error reading from file', error)
  } finally {
    if (fd !== 0) closeSync(fd)
  }
}

async function planScan({ source, scan: options, versions, bothXattrs }: Request): Promise<ErofsPlan> {
  if (bothXattrs) throw new OnefoldError('BAD_NAME', `error accessing ${source}: Invalid argument`)
  const tree = await scanTree(source, options).catch((error: unknown) => {
    throw inToolWords(error)
  })
  return attempt('cannot write file', () => planErofs(tree, versions))
}

function inToolWords(error: unknown): unknown {
  if (!(error instanceof ScanError)) return error
  const { action, path, errno } = error.failure
  const what = wordsOf[action](path)
  if (errno !== undefined) return failed(what, error)
  return new OnefoldError(error.code, `${what}: it changed while it was being read`, { cause: error })
}

const wordsOf = {
  read: (path) => `error accessing ${path}`,
  hash: (path) => `error computing digest of ${path}`,
  store: () => 'cannot fill store',
} as const satisfies Record<ScanFailure['action'], (path: string) => string>

function usage(): string {
  return `Usage: mkcomposefs [OPTIONS] SOURCE IMAGE
Options:
  --digest-store=PATH   Store content files in this directory
  --use-epoch           Make all mtimes zero
  --skip-devices        Don't store device nodes
  --skip-xattrs         Don't store file xattrs
  --user-xattrs         Only store user.* xattrs
  --hardlinks           Keep hard links (default: every name is a file of its own)
  --print-digest        Print the digest of the image
  --print-digest-only   Print the digest of the image, don't write image
  --from-file           The source is a dump file, not a directory
  --min-version=N       Use this minimal format version (default=0)
  --max-version=N       Use this maximum format version (default=1)
  --threads=N           Use this to override the default number of threads used to calculate digest and copy files (default=${availableParallelism()})`
}
