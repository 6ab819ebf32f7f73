import type { CommandEntry } from './command.ts'

/** All commands, in the order `--help` shows them. */
export const commandTable = {
  pull: {
    summary: 'bring an image into the store',
    load: async () => (await import('./commands/pull.ts')).pull,
  },
  images: {
    summary: 'list what the store holds',
    load: async () => (await import('./commands/images.ts')).images,
  },
  inspect: {
    summary: 'show all that is known of an image',
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  ls: {
    summary: 'list files of an image without mounting it',
    load: async () => (await import('./commands/ls.ts')).ls,
  },
  cat: {
    summary: 'print files of an image without mounting it',
    load: async () => (await import('./commands/cat.ts')).cat,
  },
  diff: {
    summary: 'compare images and mounts, or show what a mount has changed',
    load: async () => (await import('./commands/diff.ts')).diff,
  },
  push: {
    summary: 'put an image into a registry',
    load: async () => (await import('./commands/push.ts')).push,
  },
  export: {
    summary: 'write an image to a layout, an archive or a tar',
    load: async () => (await import('./commands/export.ts')).exportCommand,
  },
  convert: {
    summary: 'write an image with its layers in another format',
    load: async () => (await import('./commands/convert.ts')).convert,
  },
  index: {
    summary: 'make an index of an image where it lies',
    load: async () => (await import('./commands/index.ts')).index,
  },
  run: {
    summary: 'run a program in an image',
    load: async () => (await import('./commands/run.ts')).run,
  },
  mount: {
    summary: 'mount an image',
    load: async () => (await import('./commands/mount.ts')).mount,
  },
  umount: {
    summary: 'unmount an image',
    load: async () => (await import('./commands/umount.ts')).umount,
  },
  mounts: {
    summary: 'list mounted images and kept changes',
    load: async () => (await import('./commands/mounts.ts')).mounts,
  },
  commit: {
    summary: 'make an image of what a mount or a run has changed',
    load: async () => (await import('./commands/commit.ts')).commit,
  },
  import: {
    summary: 'make an image of a directory or a tar',
    load: async () => (await import('./commands/import.ts')).importCommand,
  },
  seal: {
    summary: 'write the digest of an image into its manifest',
    load: async () => (await import('./commands/seal.ts')).seal,
  },
  tag: {
    summary: 'give a stored image another name',
    load: async () => (await import('./commands/tag.ts')).tag,
  },
  rm: {
    summary: 'remove names of images',
    load: async () => (await import('./commands/rm.ts')).rm,
  },
  du: {
    summary: 'show what images and the store take on the disk',
    load: async () => (await import('./commands/du.ts')).du,
  },
  gc: {
    summary: 'free what no image needs any more',
    load: async () => (await import('./commands/gc.ts')).gc,
  },
  fsck: {
    summary: 'check everything the store claims',
    load: async () => (await import('./commands/fsck.ts')).fsck,
  },
  store: {
    summary: 'show the store, or have its files sealed with fs-verity',
    load: async () => (await import('./commands/store.ts')).store,
  },
  image: {
    summary: 'make, read and mount composefs image files anywhere',
    load: async () => (await import('./commands/image.ts')).image,
  },
  verify: {
    summary: 'show how far an image is proven, and prove the rest',
    load: async () => (await import('./commands/verify.ts')).verify,
  },
  digest: {
    summary: 'print the digests of images and files',
    load: async () => (await import('./commands/digest.ts')).digest,
  },
  completion: {
    summary: 'complete command lines in bash, zsh or fish',
    load: async () => (await import('./commands/completion.ts')).completion,
  },
  version: {
    summary: 'print versions of onefold and what it runs on',
    load: async () => (await import('./commands/version.ts')).version,
  },
} satisfies Record<string, CommandEntry>

export type CommandName = keyof typeof commandTable

export function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commandTable, name)
}
