/**
 * Plans of composefs mounts, as plain data:
 *
 *     overlay  onefold:ID          one file system, and all that the mount table shows
 *       upperdir, workdir          changes, when it is writable
 *       lowerdir+                  EROFS image: names, modes, owners, xattrs, and for every file the name of its object
 *       datadir+                   the object directory: file content, reached through these names only
 *
 * The kernel follows `trusted.overlay.metacopy` and `trusted.overlay.redirect` of the image. An image's own attributes of
 * these names are written escaped (`trusted.overlay.overlay.…`), so they stay data; `userxattr` is never set here, so
 * `user.overlay.*` stays data as well. Nothing in a layer can name another object.
 *
 * Paths are strings with one char per byte (latin1).
 */

export interface MountRequest {
  /** Names the mount in the mount table: the overlay's source is `onefold:⟨id⟩`. */
  readonly id: string
  /** An open descriptor of the image file: what was checked is what gets mounted, whatever its name means by then. */
  readonly image: number
  /** Whether the image's header says that it holds POSIX ACLs; without, the kernel need not look for them. */
  readonly hasAcl: boolean
  /** Object directories, the first wins. */
  readonly objects: readonly string[]
  readonly target: string
  /** A writable mount; both lie on one file system. */
  readonly changes?: Changes
  /** Changes are thrown away afterwards: the kernel need not sync them when it unmounts. */
  readonly volatile?: boolean
  /** Whether only objects can be read that have fs-verity on, and the digest that the image names. */
  readonly verity?: boolean
  readonly nosuid?: boolean
  /** An empty directory for the moment: where the image is attached when overlay takes only paths. */
  readonly scratch: string
}

export interface Changes {
  readonly upper: string
  readonly work: string
  /** The upper directory is new, and empty. */
  readonly fresh: boolean
}

/** How this kernel, and the file system the image lies on, want to be asked. The first is the best and the newest. */
export interface Means {
  /** EROFS reads the file itself (kernel 6.12; not from tmpfs or overlay), or a loop device. */
  readonly image: 'file' | 'loop'
  /** Layers as descriptors of mounts attached nowhere (6.15), as one path each (6.7), or as one string (6.5). */
  readonly layers: 'descriptors' | 'paths' | 'string'
}

/** Words in quotes after `as` name what a step makes; later steps refer to it. */
export type MountStep =
  | { readonly step: 'loop'; readonly file: number; readonly as: Made }
  | {
      readonly step: 'mount'
      readonly type: 'erofs' | 'overlay'
      readonly settings: readonly Setting[]
      readonly attributes: readonly Attribute[]
      readonly as: Made
    }
  /** Ids in the mount are what they stand for in the user namespace, an open descriptor. */
  | { readonly step: 'idmap'; readonly mount: Made; readonly namespace: number }
  | { readonly step: 'copy-root'; readonly mount: Made; readonly upper: string }
  | { readonly step: 'attach'; readonly mount: Made; readonly target: string }
  | { readonly step: 'detach'; readonly target: string }

export type Made = 'device' | 'metadata' | 'tree'
export type Setting =
  | { readonly key: string }
  | { readonly key: string; readonly value: string }
  | { readonly key: string; readonly made: Made }
export type Attribute = 'rdonly' | 'nodev' | 'nosuid'

export const sourcePrefix = 'onefold:'

export function planMount(request: MountRequest, means: Means): readonly MountStep[] {
  const byPath = means.layers !== 'descriptors'
  const { changes } = request
  return [
    ...metadataSteps(request, means),
    // An upper directory is the root that everybody sees: it starts as the image's own.
    ...(changes?.fresh === true ? [{ step: 'copy-root', mount: 'metadata', upper: changes.upper } as const] : []),
    ...(byPath ? [{ step: 'attach', mount: 'metadata', target: request.scratch } as const] : []),
    {
      step: 'mount',
      type: 'overlay',
      settings: overlaySettings(request, means),
      attributes: treeAttributes(request),
      as: 'tree',
    },
    // The overlay holds a copy of the layer's mount: the place it was found at is not needed any more.
    ...(byPath ? [{ step: 'detach', target: request.scratch } as const] : []),
    { step: 'attach', mount: 'tree', target: request.target },
  ]
}

/** Mounts the image, attached nowhere yet. */
export function metadataSteps(request: Pick<MountRequest, 'image' | 'hasAcl'>, means: Means): MountStep[] {
  const source: Setting =
    means.image === 'file'
      ? { key: 'source', value: `/proc/self/fd/${request.image}` }
      : { key: 'source', made: 'device' }
  return [
    ...(means.image === 'loop' ? [{ step: 'loop', file: request.image, as: 'device' } as const] : []),
    {
      step: 'mount',
      type: 'erofs',
      settings: [source, { key: 'ro' }, ...(request.hasAcl ? [] : [{ key: 'noacl' }])],
      attributes: ['rdonly', 'nodev'],
      as: 'metadata',
    },
  ]
}

/** Defaults differ between kernels and can be changed by module parameters, so everything relied on is said. */
function overlaySettings(request: MountRequest, means: Means): Setting[] {
  const { changes } = request
  return [
    { key: 'source', value: `${sourcePrefix}${request.id}` },
    { key: 'metacopy', value: 'on' },
    { key: 'redirect_dir', value: 'on' },
    // An index ties an upper directory to one mount of its image; changes are kept and mounted again.
    { key: 'index', value: 'off' },
    { key: 'nfs_export', value: 'off' },
    ...(request.verity === true ? [{ key: 'verity', value: 'require' }] : []),
    ...layerSettings(request, means),
    ...(changes === undefined
      ? []
      : [
          { key: 'upperdir', value: escapePath(changes.upper) },
          { key: 'workdir', value: escapePath(changes.work) },
          ...(request.volatile === true ? [{ key: 'volatile' }] : []),
        ]),
  ]
}

/** Settings for what lies below: the image, and the objects it leads to. */
export function layerSettings(request: Pick<MountRequest, 'objects' | 'scratch'>, means: Means): Setting[] {
  switch (means.layers) {
    case 'descriptors':
      return [{ key: 'lowerdir+', made: 'metadata' }, ...request.objects.map((value) => ({ key: 'datadir+', value }))]
    case 'paths':
      return [
        { key: 'lowerdir+', value: request.scratch },
        ...request.objects.map((value) => ({ key: 'datadir+', value })),
      ]
    case 'string':
      return [{ key: 'lowerdir', value: [request.scratch, ...request.objects].map(escapeLayer).join('::') }]
  }
}

/** nodev: what an image calls a device must not be one on the host; a container gets its own /dev. */
function treeAttributes(request: MountRequest): Attribute[] {
  return [
    ...(request.changes === undefined ? (['rdonly'] as const) : []),
    'nodev',
    ...(request.nosuid === true ? (['nosuid'] as const) : []),
  ]
}

/** overlayfs undoes backslashes in upperdir and workdir, but takes `lowerdir+` and `datadir+` as they are. */
export function escapePath(path: string): string {
  return path.replaceAll('\\', '\\\\')
}

function escapeLayer(path: string): string {
  return path.replace(/[\\:]/g, '\\$&')
}
