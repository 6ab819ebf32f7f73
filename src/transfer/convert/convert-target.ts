import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseReference } from '../../sources/registry/reference.ts'
import { RegistryTarget } from '../../sources/registry/upload-target.ts'
import type { StoredImage } from '../../store/store.ts'
import { parseDestination } from '../../sources/targets/destination.ts'
import type { ImageTarget } from '../send/encoder.ts'
import { type LayoutTarget, layoutArchive, layoutFolder } from '../../sources/targets/layout-target.ts'
import { PushTarget, siblings } from '../../sources/targets/push-target.ts'
import type { ConvertOptions } from './convert-options.ts'

/** Where a converted image goes. */
export interface ConvertTarget extends AsyncDisposable {
  readonly images: ImageTarget
  /** The name that the image will have; undefined when it has none, and nothing can be named after it. */
  readonly name: string | undefined
  /**
   * Gives the image its name.
   * @param beside a manifest that is named like the image, with this behind it
   */
  finish(top: Descriptor, beside?: { readonly descriptor: Descriptor; readonly suffix: string }): Promise<void>
}

/** @param destination `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://REFERENCE` */
export function openConvertTarget(destination: string, image: StoredImage, options: ConvertOptions): ConvertTarget {
  const reference = /^docker:\/\/(.+)$/s.exec(destination)?.[1]
  if (reference !== undefined) return registryTarget(reference, image, options)
  const to = parseDestination(destination)
  if (to.transport !== 'oci' && to.transport !== 'oci-archive')
    throw new OnefoldError(
      'USAGE',
      `Cannot convert to ${JSON.stringify(destination)}: it cannot say how layers are made`,
      {
        hint: 'Use oci:, oci-archive: or docker://.',
      },
    )
  return localTarget(to.transport === 'oci' ? layoutFolder(to.path) : layoutArchive(to.path), to.image)
}

function localTarget(layout: LayoutTarget, name: string | undefined): ConvertTarget {
  return {
    images: layout,
    name,
    async finish(top, beside) {
      const named = beside === undefined ? [] : [{ descriptor: beside.descriptor, name: `${name}${beside.suffix}` }]
      layout.finish(top, name, named)
    },
    async [Symbol.asyncDispose]() {
      layout[Symbol.dispose]()
    },
  }
}

function registryTarget(text: string, image: StoredImage, options: ConvertOptions): ConvertTarget {
  const reference = parseReference(text)
  if (reference.digest !== undefined)
    throw new OnefoldError('USAGE', `Cannot convert to ${JSON.stringify(text)}: its digest is not known before`, {
      hint: 'Convert to a tag instead.',
    })
  const registry = new RegistryTarget(reference, options.source?.registry ?? {})
  const images = new PushTarget(registry, { ...options, from: siblings(image, reference) })
  const { tag } = reference
  return {
    images,
    name: tag,
    async finish(top, beside) {
      // Whoever finds the image finds what lies beside it.
      if (beside !== undefined) await images.name(beside.descriptor, `${tag}${beside.suffix}`)
      await images.name(top)
    },
    async [Symbol.asyncDispose]() {
      await images[Symbol.asyncDispose]()
      await registry[Symbol.asyncDispose]()
    },
  }
}
