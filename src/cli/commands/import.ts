import type { Command } from '../command.ts'
import { deriveOptions, deriveOptionsOf, printDerived } from '../derive.ts'
import { openCallStore } from '../image.ts'
import { showProgress } from '../progress.ts'
import { limitOptions, platformOf, platformOptions } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const importCommand: Command = {
  operands: 'PATH NAME',
  about: [
    'Makes an image called NAME of a directory, or of a tar (- is standard input): its only layer, or with --base one more',
    'above those of an image of the store. A directory is taken as it is, files of the same name replace those of the base.',
    'With --upper it is the upper directory of an overlay over the base, and what was deleted there is deleted; a tar may',
    'say so by whiteouts (.wh.NAME), as any layer.',
    '',
    'How it differs: "onefold pull rootfs:DIR" and "tar:FILE" take a tree to keep, compare and mount, in which every name is',
    'data, with a config that says nothing. "onefold import" makes an image to run and push, with a history and a config; a',
    'name that a layer cannot hold (.wh.NAME, a device 0:0) is refused. "onefold commit" imports the changes of a mount of',
    'this store.',
  ].join('\n'),
  options: {
    base: { value: 'IMAGE', help: 'put the layer above the layers of this image of the store' },
    upper: { help: 'PATH is the upper directory of an overlay over the base' },
    userxattr: { help: 'the overlay was mounted with userxattr: believe user.overlay.* (implies --upper)' },
    ...deriveOptions,
    platform: {
      ...platformOptions.platform,
      help: 'what it is to run on, or which image of a multi-platform base (default: this machine)',
    },
    ...limitOptions,
  },
  examples: [
    { command: `onefold import build/root app -c 'ENTRYPOINT ["/bin/app"]'`, meaning: 'an image of one layer' },
    { command: 'onefold import build/root app --base debian:12', meaning: 'the same files above an image' },
    { command: 'onefold import --upper /srv/changes/upper app:2 --base app:1', meaning: 'what an overlay changed' },
    { command: 'docker export box | onefold import - box', meaning: 'the files of a container' },
  ],
  async run(call) {
    const { operands, options } = call
    usageUnless(operands.length === 2, 'import takes a PATH and a NAME', 'import')
    const [path = '', name = ''] = operands
    const base = options.text('base')
    const isUpper = options.flag('upper') || options.flag('userxattr')
    usageUnless(!isUpper || base !== undefined, 'an upper directory needs the image below it: --base', 'import')
    const platform = await platformOf(options)
    const { importImage } = await import('../../transfer/commit/import-tree.ts')
    await using store = await openCallStore(call)
    using progress = showProgress(call.out)
    const image = await importImage(store, path, name, {
      ...deriveOptionsOf(call, progress),
      platform,
      base: base === undefined ? undefined : store.find(base, { platform }),
      upper: isUpper ? (options.flag('userxattr') ? 'user' : 'trusted') : undefined,
    })
    progress.end()
    printDerived(call, image)
  },
}
