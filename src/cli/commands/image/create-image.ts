import { availableParallelism } from 'node:os'
import { isatty } from 'node:tty'
import { pathFromUtf8 } from '../../../paths.ts'
import type { ScanOptions } from '../../../scan/scan-directory.ts'
import { OnefoldError } from '../../../error.ts'
import type { ErofsOptions, ErofsPlan } from '../../../formats/composefs/plan-image.ts'
import type { Call, Options } from '../../command.ts'
import { usageUnless } from '../../usage.ts'
import { type Action, compatOption } from './image-action.ts'

export const create: Action = {
  operands: 'DIR|DUMP [FILE]',
  summary: 'make an image of a directory, or with --dump of a dump; print its digest',
  least: 1,
  most: 2,
  options: {
    dump: { help: 'the operand is a dump, composefs-dump(5); - is standard input' },
    'digest-store': { value: 'DIR', help: 'copy the files of the directory there, by their digests' },
    link: {
      help: 'with --digest-store: hard links where blocks cannot be shared; for trees that nobody writes to any more',
    },
    cache: { value: 'FILE', help: 'remember digests there, so that a second scan reads only what has changed' },
    'no-hard-links': { help: 'every name is a file of its own, as mkcomposefs has it' },
    xattrs: { value: 'all|user|none', help: 'which extended attributes are read (default: all)' },
    'no-devices': { help: 'leave out device nodes' },
    epoch: { help: 'make all times zero' },
    threads: { value: 'N', help: 'how many threads read files (default: one for each core)' },
    format: { value: '0|1', help: 'version of the format (default: the lowest that can hold the tree)' },
    ...compatOption,
  },
  examples: [
    {
      command: 'onefold image create /srv/tree tree.cfs --digest-store /srv/objects',
      meaning: 'an image and its objects',
    },
    {
      command: 'onefold image create /srv/tree --cache ~/.cache/tree',
      meaning: 'only the digest, the second time fast',
    },
    { command: 'onefold image create --dump tree.dump tree.cfs', meaning: 'the image of a dump' },
  ],
  async run(call, [source = '', target]) {
    const { options, out } = call
    checkTarget(target, out.json)
    const plan = options.flag('dump') ? await planDump(source, options) : await planScan(source, call)
    const { VerityHasher } = await import('../../../formats/fsverity/verity-digest.ts')
    const { streamErofs } = await import('../../../formats/composefs/write-image.ts')
    const hasher = new VerityHasher()
    using sink = await openSink(call, target)
    streamErofs(plan, (piece) => {
      hasher.update(piece)
      sink?.write(piece)
    })
    sink?.done()
    const digest = hasher.digest()
    if (out.json) return out.value({ digest, bytes: plan.layout.bytes, format: plan.version, file: target ?? null })
    if (target === '-') out.note(digest)
    else out.line(digest)
  },
}

function checkTarget(target: string | undefined, json: boolean): void {
  if (target !== '-') return
  usageUnless(!json, 'the image goes to standard output, so JSON cannot', 'image')
  usageUnless(!isatty(1), 'standard output is a terminal, which no image belongs on', 'image')
}

interface Sink extends Disposable {
  write(piece: Uint8Array): void
  done(): void
}

async function openSink({ out }: Call, target: string | undefined): Promise<Sink | undefined> {
  if (target === undefined) return undefined
  if (target === '-') return { write: out.bytes, done() {}, [Symbol.dispose]() {} }
  const { OutputFile } = await import('./named-files.ts')
  const { writeAll } = await import('../../../linux/descriptor-io.ts')
  const file = new OutputFile(target)
  return {
    write: (piece) => writeAll(file.fd, piece),
    done: () => file.done(),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  }
}

async function planDump(path: string, options: Options): Promise<ErofsPlan> {
  const { DumpReader } = await import('../../../formats/dump/read-dump.ts')
  const { planErofs } = await import('../../../formats/composefs/plan-image.ts')
  const { readPieces } = await import('../../../linux/descriptor-io.ts')
  const { openInput } = await import('./named-files.ts')
  const reader = new DumpReader({ compat: options.flag('compat') })
  const fd = openInput(path)
  try {
    for (const piece of readPieces(fd)) reader.write(piece)
  } finally {
    const { closeSync } = await import('node:fs')
    if (fd !== 0) closeSync(fd)
  }
  const { tree, children } = reader.end()
  return planErofs(tree, versionsOf(options), children)
}

async function planScan(path: string, { options, out }: Call): Promise<ErofsPlan> {
  const { scanTree } = await import('../../../scan/scan-directory.ts')
  const { planErofs } = await import('../../../formats/composefs/plan-image.ts')
  const { showProgress } = await import('../../progress.ts')
  using progress = showProgress(out)
  progress.event({ type: 'step', step: 'reading files' })
  const tree = await scanTree(pathFromUtf8(path), scanOptions(options))
  progress.end()
  return planErofs(tree, versionsOf(options))
}

function scanOptions(options: Options): ScanOptions {
  const [objects, cache] = [options.text('digest-store'), options.text('cache')]
  const xattrs = options.text('xattrs') ?? 'all'
  const threads = Number(options.text('threads') ?? availableParallelism())
  usageUnless(xattrs === 'all' || xattrs === 'user' || xattrs === 'none', '--xattrs is all, user or none', 'image')
  usageUnless(Number.isInteger(threads) && threads > 0, '--threads takes a number above 0', 'image')
  usageUnless(objects !== undefined || !options.flag('link'), '--link says how --digest-store DIR is filled', 'image')
  return {
    hardLinks: !options.flag('no-hard-links'),
    xattrs,
    skipDevices: options.flag('no-devices'),
    epoch: options.flag('epoch'),
    threads,
    ...(objects !== undefined && { objects: pathFromUtf8(objects), link: options.flag('link') }),
    ...(cache !== undefined && { cache: pathFromUtf8(cache) }),
  }
}

function versionsOf(options: Options): ErofsOptions {
  switch (options.text('format')) {
    case undefined:
      return {}
    case '0':
      return { minVersion: 0, maxVersion: 0 }
    case '1':
      return { minVersion: 1, maxVersion: 1 }
    default:
      throw new OnefoldError('USAGE', 'Cannot read the command line: --format is 0 or 1', {
        hint: 'See: onefold image --help',
      })
  }
}

/** Paths are bytes in the scan: one char for each. */
