import type { PartialPolicy } from '../../transfer/fetch/layer-outlook.ts'
import type { Command, Options } from '../command.ts'
import { formatBytes } from '../output.ts'
import { showProgress } from '../progress.ts'
import {
  limitOptions,
  limitsOf,
  platformOptions,
  platformOf,
  sealOptions,
  sealOptionsOf,
  sourceOptions,
  sourceOptionsOf,
} from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const pull: Command = {
  operands: 'SOURCE',
  about: [
    'Brings an image into the store: every distinct file once, layers as recipes that rebuild their tar bit for bit.',
    'Nothing shows until all of it is durable; a pull that was interrupted is continued by the next one.',
    'Of layers with a table of contents only what the store lacks is fetched, where that saves enough; --plan tells',
    'beforehand.',
  ].join('\n'),
  options: {
    name: { value: 'NAME', help: 'name of the image in the store (default: SOURCE as written)' },
    ...platformOptions,
    'all-platforms': { help: 'pull every platform of a multi-platform image' },
    plan: { help: 'only show what would be fetched, and what the store has already' },
    whole: { help: 'fetch layers whole, also where parts of one would do' },
    'toc-only': { help: 'fetch layers by parts wherever there is a table of contents, believing what it says' },
    'keep-selinux': { help: 'keep security.selinux labels from layers in the tree' },
    ...sealOptions,
    ...sourceOptions,
    ...limitOptions,
  },
  examples: [
    { command: 'onefold pull alpine', meaning: 'docker.io/library/alpine:latest for this machine' },
    { command: 'onefold pull ghcr.io/org/app@sha256:… --name app', meaning: 'one exact image, under a short name' },
    {
      command: 'onefold pull ghcr.io/org/app:2 --plan',
      meaning: 'bytes and requests it would take, beside what is here',
    },
    { command: 'onefold pull oci:layout:v1 --all-platforms', meaning: 'all platforms from an OCI layout' },
    { command: 'onefold pull docker-archive:app.tar', meaning: 'what `docker save` wrote' },
    {
      command: 'onefold pull app --expect-image "$(cat app.digest)"',
      meaning: 'only if its tree is what somebody told us it is',
    },
    { command: 'onefold pull rootfs:/srv/chroot --name base', meaning: 'a plain directory tree' },
  ],
  async run({ operands, options, storeRoot, out, signal }) {
    usageUnless(operands.length === 1, 'pull takes one SOURCE', 'pull')
    const [text = ''] = operands
    const name = options.text('name')
    const platform = await platformOf(options)
    const limits = limitsOf(options)
    const demands = await sealOptionsOf(options)
    const { openStore } = await import('../../store/store.ts')
    const { openSource } = await import('../../sources/open-source.ts')
    const { pull: pullImage } = await import('../../transfer/pull/pull.ts')
    const partial = partialOf(options)
    await using store = await openStore(storeRoot)
    await using source = await openSource(text, { ...sourceOptionsOf(options, out.note, signal), omit: [store.root] })
    if (options.flag('plan')) {
      const { planPull } = await import('../../transfer/pull/plan-pull.ts')
      const chosen = { ...(platform === undefined ? {} : { platform }), allPlatforms: options.flag('all-platforms') }
      const plan = await planPull(store, source, { ...chosen, partial, limits, signal })
      if (out.json) return out.value(plan)
      const { printPlan } = await import('../plan-report.ts')
      return printPlan(out, plan)
    }
    using progress = showProgress(out)
    const result = await pullImage(store, source, {
      partial,
      ...(name === undefined ? {} : { name }),
      ...(platform === undefined ? {} : { platform }),
      allPlatforms: options.flag('all-platforms'),
      keepSelinux: options.flag('keep-selinux'),
      limits,
      ...demands,
      signal,
      onProgress: progress.event,
    })
    progress.end()
    if (out.json) return out.value(result)
    for (const image of result.images) out.line(image.manifest)
    const { newObjects, newBytes, files, layersPulled, layersPresent } = result.stats
    out.note(
      `${result.name}: ${layersPulled} layers pulled, ${layersPresent} there already; ` +
        `${files} files, of which ${newObjects} (${formatBytes(newBytes)}) were new to the store`,
    )
    const believed = result.images.reduce((sum, image) => sum + image.believed, 0)
    if (believed > 0)
      out.note(
        `${believed} layers are believed from their tables of contents: onefold verify --fetch ${result.name} proves them`,
      )
  },
}

function partialOf(options: Options): PartialPolicy {
  usageUnless(!options.flag('whole') || !options.flag('toc-only'), 'pull takes --whole or --toc-only, not both', 'pull')
  if (options.flag('whole')) return 'never'
  return options.flag('toc-only') ? 'always' : 'auto'
}
