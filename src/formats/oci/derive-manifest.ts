import type { DiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { ConfigChange } from './config-changes.ts'
import type { Descriptor } from './descriptor.ts'
import { type DocumentMembers, listOf, membersIn, membersOf } from './document-members.ts'
import { ociLayerType } from './media-types.ts'

/** Facts about a new image that differ from the one it is made from. */
export interface Derivation {
  /**
   * diffID of the new layer; undefined when there is nothing in it: the history says so, and the image has the layers
   * it had.
   */
  readonly diffId: DiffId | undefined
  /** Creation time in seconds since 1970. */
  readonly created: number
  /** Command that made the layer, for `podman history`. */
  readonly createdBy: string
  readonly message?: string | undefined
  readonly author?: string | undefined
  readonly changes: readonly ConfigChange[]
}

/**
 * Makes the config of an image made from another one (which parseConfig() has read): members that nothing here is about
 * stay, known or not. The same arguments give the same bytes.
 */
export function deriveConfig(base: Uint8Array, derivation: Derivation): Uint8Array {
  const { created: _, author, config, rootfs, history, ...rest } = membersIn(base)
  // Of the container that Docker made the base in; nothing of it is true any more.
  for (const name of ['container', 'container_config', 'id', 'parent']) delete rest[name]
  const diffIds = listOf(membersOf(rootfs)['diff_ids'])
  const { diffId } = derivation
  const written = {
    created: timeOf(derivation.created),
    author: derivation.author ?? author,
    ...rest,
    config: applyChanges(membersOf(config), derivation.changes),
    rootfs: { type: 'layers', diff_ids: diffId === undefined ? diffIds : [...diffIds, diffId] },
    history: [...wholeHistory(listOf(history), diffIds.length), historyOf(derivation)],
  }
  return Buffer.from(JSON.stringify(written))
}

function historyOf({ diffId, created, createdBy, author, message }: Derivation): object {
  return {
    created: timeOf(created),
    created_by: createdBy,
    author,
    comment: message,
    empty_layer: diffId === undefined ? true : undefined,
  }
}

/**
 * Completes a history: one that covers some layers only is refused by other engines; a base without one gets an entry
 * for each.
 */
function wholeHistory(history: readonly unknown[], layers: number): readonly unknown[] {
  const covered = history.filter((entry) => membersOf(entry)['empty_layer'] !== true).length
  const missing = Math.max(0, layers - covered)
  return [...Array.from({ length: missing }, () => ({ comment: 'a layer without history' })), ...history]
}

/** Returns layers as an OCI manifest names them, whatever kind of manifest they come from. */
export function ociLayers(layers: readonly Descriptor[]): Descriptor[] {
  return layers.map((layer) => ({ ...layer, mediaType: ociLayerType(layer.mediaType, 'kept') }))
}

/** Writes whole seconds in Go's form. */
function timeOf(seconds: number): string {
  const date = new Date(seconds * 1000)
  const year = date.getUTCFullYear()
  if (!Number.isInteger(seconds) || !(year >= 0 && year <= 9999))
    throw new OnefoldError('USAGE', `Cannot date an image to ${seconds} seconds after 1970: expected a year up to 9999`)
  return date.toISOString().replace(/\.000Z$/, 'Z')
}

function applyChanges(config: DocumentMembers, changes: readonly ConfigChange[]): DocumentMembers {
  const changed = { ...config }
  const entrypointOnly =
    changes.some((change) => 'set' in change && change.set === 'Entrypoint') &&
    !changes.some((change) => 'set' in change && change.set === 'Cmd')
  // As in a Dockerfile: arguments for the old entrypoint are none for the new one.
  if (entrypointOnly) delete changed['Cmd']
  for (const change of changes) {
    if ('set' in change) changed[change.set] = change.to
    else if ('pairs' in change && change.add === 'Env') changed['Env'] = withVariables(changed['Env'], change.pairs)
    else if ('pairs' in change)
      changed[change.add] = sorted({ ...membersOf(changed[change.add]), ...recordOf(change.pairs) })
    else if (change.add === 'OnBuild') changed['OnBuild'] = [...listOf(changed['OnBuild']), ...change.names]
    else
      changed[change.add] = sorted({
        ...membersOf(changed[change.add]),
        ...recordOf(change.names.map((name) => [name, {}])),
      })
  }
  return changed
}

/** Sets variables; one that is there keeps its place. */
function withVariables(env: unknown, pairs: readonly (readonly [string, string])[]): unknown[] {
  const list = [...listOf(env)]
  for (const [name, value] of pairs) {
    const at = list.findIndex((each) => typeof each === 'string' && each.startsWith(`${name}=`))
    if (at < 0) list.push(`${name}=${value}`)
    else list[at] = `${name}=${value}`
  }
  return list
}

function recordOf(pairs: readonly (readonly [string, unknown])[]): DocumentMembers {
  return Object.fromEntries(pairs)
}

function sorted(members: DocumentMembers): DocumentMembers {
  return Object.fromEntries(
    Object.keys(members)
      .toSorted()
      .map((name) => [name, members[name]]),
  )
}
