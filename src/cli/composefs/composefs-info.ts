import { closeSync, openSync, statSync } from 'node:fs'
import { pathToBytes } from '../../paths.ts'
import { terminalOutput } from '../output.ts'
import type { VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { DumpBytes } from '../../formats/dump/dump-bytes.ts'
import { ErofsReader } from '../../formats/erofs/erofs-reader.ts'
import { VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import { S_IFMT, S_IFREG, compareNames } from '../../formats/tree.ts'
import { readPieces } from '../../linux/descriptor-io.ts'
import { measureVerity } from '../../linux/fs-verity.ts'
import { attempt, failed, usageError } from './tool-failure.ts'
import { readImage } from './tool-files.ts'
import { type ImageNode, imageNodes } from '../../formats/composefs/image-nodes.ts'
import { type OptionTable, parseOptions } from './getopt.ts'
import { listingLine, writeDumpLine } from './print-listing.ts'
import { statObject } from './stat-object.ts'

/** `composefs-info`: what images hold, and the digests of files. */
export async function composefsInfo(args: readonly string[]): Promise<void> {
  const request = parseRequest(args)
  const { bytes } = terminalOutput({ json: false, quiet: false, verbose: false })
  const out = new DumpBytes(bytes)
  if (request.command === 'dump') for (const node of nodesOf(request)) writeDumpLine(node, out)
  else for (const line of lines(request, request.command)) out.text(line)
  out.flush()
}

interface Request {
  readonly command: Command
  readonly files: readonly string[]
  readonly basedir: string | undefined
  readonly filter: ReadonlySet<string> | undefined
}

const commands = ['ls', 'dump', 'objects', 'missing-objects', 'measure-file'] as const
type Command = (typeof commands)[number]

const optionTable: OptionTable = { flags: [], withValue: ['basedir', 'filter'] }
const usage = 'usage: composefs-info [--basedir=path] [ls|objects|dump|missing-objects|measure-file] IMAGES...'

function parseRequest(args: readonly string[]): Request {
  const { options, operands } = parseOptions(args, optionTable)
  const filter = new Set<string>()
  let basedir: string | undefined
  for (const option of options) {
    if ('problem' in option) throw usageError(`composefs-info: ${option.reason}`, usage)
    if (option.name === 'basedir') basedir = option.value
    else filter.add(checkFilter(option.value))
  }
  const [name, ...files] = operands
  if (name === undefined) throw usageError('No command specified', usage)
  const command = commands.find((known) => known === name)
  if (command === undefined) throw new OnefoldError('NOT_FOUND', `Unknown command '${name}'`)
  if (basedir !== undefined && command !== 'measure-file') checkBasedir(basedir)
  if (files.length === 0)
    throw usageError(command === 'measure-file' ? 'No files specified' : 'No image path specified', usage)
  return { command, files, basedir, filter: filter.size === 0 ? undefined : filter }
}

function checkFilter(name: string): string {
  if (name.includes('/')) throw new OnefoldError('BAD_NAME', `Filter must be a single name: ${name}`)
  return name
}

function checkBasedir(path: string): void {
  const what = `Can't open basedir \`${path}\``
  const stats = attempt(what, () => statSync(pathToBytes(path)))
  if (!stats.isDirectory()) throw new OnefoldError('NOT_FOUND', `${what}: Not a directory`)
}

function* lines(request: Request, command: Exclude<Command, 'dump'>): Generator<string> {
  switch (command) {
    case 'ls':
      for (const node of nodesOf(request)) yield listingLine(node) ?? ''
      return
    case 'objects':
      yield* objectLines(request, () => true)
      return
    case 'missing-objects':
      yield* objectLines(request, (object) => isMissing(request.basedir, object))
      return
    case 'measure-file':
      for (const path of request.files) yield `${measureFile(path)}\n`
  }
}

function* nodesOf({ files, filter }: Request): Generator<ImageNode> {
  for (const path of files) {
    const bytes = readImage(path)
    try {
      yield* imageNodes(new ErofsReader(bytes), filter)
    } catch (error) {
      throw failed(`Failed to load '${path}'`, error)
    }
  }
}

/** The objects that images need, each once, in byte order. */
function* objectLines(request: Request, wanted: (object: string) => boolean): Generator<string> {
  const objects = new Set<string>()
  for (const { image, mode, linkTo, redirect } of nodesOf(request)) {
    const isFile = (mode & S_IFMT) === S_IFREG && linkTo === undefined
    if (isFile && redirect !== undefined) objects.add(image.toString('latin1', ...redirect))
  }
  for (const object of [...objects].filter(wanted).sort(compareNames)) yield `${object}\n`
}

/** Whether an object is missing, as everything is without a base directory. */
function isMissing(basedir: string | undefined, object: string): boolean {
  return basedir === undefined || statObject(basedir, object.replace(/^\/+/, '')) === undefined
}

/** The digest that the kernel enforces for a file, else the one that it would. */
function measureFile(path: string): VerityDigest {
  const fd = attempt(`Failed to open '${path}'`, () => openSync(pathToBytes(path), 'r'))
  try {
    return attempt(`failed to measure '${path}'`, () => measureVerity(fd) ?? hashFile(fd))
  } finally {
    closeSync(fd)
  }
}

function hashFile(fd: number): VerityDigest {
  const hasher = new VerityHasher()
  for (const piece of readPieces(fd)) hasher.update(piece)
  return hasher.digest()
}
