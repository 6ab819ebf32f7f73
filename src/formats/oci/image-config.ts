import { type DiffId, isDigest, parseDiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Platform, sortedMap } from './descriptor.ts'
import { type Fields, readJson } from '../json.ts'

/**
 * Config of an image (image-spec "config.md"; Docker's is the same in all that is read here): what it runs on, what its
 * layers are when uncompressed, and how to start it.
 */
export interface ImageConfig {
  readonly platform: Platform
  /** sha256 of every layer's uncompressed tar, the lowest first: a claim, until somebody hashes the layers. */
  readonly diffIds: readonly DiffId[]
  readonly run: RunConfig
  /** History as written; nothing here is interpreted. */
  readonly history: readonly unknown[]
}

/** Settings that a container is started with, unless the user says otherwise. */
export interface RunConfig {
  /** User as `user`, `uid`, `user:group` or `uid:gid`; '' is root. */
  readonly user: string
  /** Variables as `NAME=value`. */
  readonly env: readonly string[]
  /** Entrypoint; undefined where the image says nothing: an empty list is a statement of its own. */
  readonly entrypoint: readonly string[] | undefined
  readonly cmd: readonly string[] | undefined
  /** Working directory; '' is `/`. */
  readonly workingDir: string
  /** Signal as `SIGQUIT` or `3`; '' is SIGTERM. */
  readonly stopSignal: string
  readonly volumes: readonly string[]
  /** Ports as `80/tcp`. */
  readonly exposedPorts: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  /** Windows only: true when the command is one already escaped line. */
  readonly argsEscaped: boolean
}

/** Reads a config. `layers` is the number of layers in the manifest that names it, which its diffIDs must match. */
export function parseConfig(bytes: Uint8Array, layers?: number): ImageConfig {
  const fields = readJson(bytes, 'image config')
  const config: ImageConfig = {
    platform: readPlatform(fields),
    diffIds: readDiffIds(fields),
    run: readRun(fields.object('config')),
    history: fields.list('history') ?? [],
  }
  if (layers === undefined || layers === config.diffIds.length) return config
  throw new OnefoldError(
    'BAD_FORMAT',
    `Cannot read image config: it has ${config.diffIds.length} diff_ids, its manifest has ${layers} layers`,
  )
}

/**
 * Returns the bytes of a config, for images made here: compact JSON, keys in the order of the image-spec, maps sorted.
 */
export function writeConfig(config: {
  readonly platform: Platform
  readonly diffIds: readonly DiffId[]
  readonly run?: Partial<RunConfig>
}): Uint8Array {
  const { platform, diffIds, run } = config
  return Buffer.from(
    JSON.stringify({
      architecture: platform.architecture,
      variant: platform.variant,
      os: platform.os,
      'os.version': platform.osVersion,
      config: run === undefined ? {} : runValue(run),
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  )
}

function runValue(run: Partial<RunConfig>): object {
  return {
    User: run.user || undefined,
    ExposedPorts: setValue(run.exposedPorts),
    Env: run.env?.length ? run.env : undefined,
    Entrypoint: run.entrypoint,
    Cmd: run.cmd,
    Volumes: setValue(run.volumes),
    WorkingDir: run.workingDir || undefined,
    Labels: run.labels && Object.keys(run.labels).length > 0 ? sortedMap(run.labels) : undefined,
    StopSignal: run.stopSignal || undefined,
    ArgsEscaped: run.argsEscaped || undefined,
  }
}

/** Returns a set as Go's `map[string]struct{}` is written. */
function setValue(names: readonly string[] | undefined): object | undefined {
  if (names === undefined || names.length === 0) return undefined
  const set: Record<string, object> = Object.create(null)
  for (const name of names.toSorted()) set[name] = {}
  return set
}

/** Reads the platform. Docker took a missing `os` for the host's, and the only hosts were Linux. */
function readPlatform(fields: Fields): Platform {
  const variant = fields.string('variant')
  const osVersion = fields.string('os.version')
  return {
    os: fields.string('os') || 'linux',
    architecture: fields.string('architecture') || 'unknown',
    ...(variant ? { variant } : {}),
    ...(osVersion ? { osVersion } : {}),
  }
}

function readDiffIds(fields: Fields): DiffId[] {
  const rootfs = fields.object('rootfs')
  if (rootfs === undefined) throw fields.bad('rootfs', 'an object with diff_ids')
  const type = rootfs.string('type')
  if (type !== undefined && type !== 'layers') throw rootfs.bad('type', '"layers"')
  return (rootfs.strings('diff_ids') ?? []).map((text, i) => {
    if (isDigest(text)) return parseDiffId(text)
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot read image config: rootfs.diff_ids[${i}] is ${JSON.stringify(text.slice(0, 100))}, expected sha256: and 64 lower-case hex digits`,
    )
  })
}

function readRun(fields: Fields | undefined): RunConfig {
  return {
    user: fields?.string('User') ?? '',
    env: fields?.strings('Env') ?? [],
    entrypoint: fields?.strings('Entrypoint'),
    cmd: fields?.strings('Cmd'),
    workingDir: fields?.string('WorkingDir') ?? '',
    stopSignal: fields?.string('StopSignal') ?? '',
    volumes: fields?.keys('Volumes') ?? [],
    exposedPorts: fields?.keys('ExposedPorts') ?? [],
    labels: fields?.map('Labels') ?? {},
    argsEscaped: fields?.boolean('ArgsEscaped') ?? false,
  }
}
