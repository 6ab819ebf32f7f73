import { closeSync, constants, readFileSync } from 'node:fs'
import { pathFromUtf8 } from '../../../paths.ts'
import type { Options } from '../../command.ts'
import { usageUnless } from '../../usage.ts'
import type { Action } from './image-action.ts'

export const mountImageFile: Action = {
  operands: 'FILE TARGET',
  summary: 'mount an image file of any place on TARGET; umount(8) takes it away',
  least: 2,
  most: 2,
  options: {
    objects: { value: 'DIR', multiple: true, help: 'where objects are; of several directories the first wins' },
    digest: {
      value: 'HEX',
      help: 'the kernel must enforce this fs-verity digest for the image; implies --require-verity',
    },
    'require-verity': { help: 'the kernel must enforce the digests of all objects' },
    upper: { value: 'DIR', help: 'writable: changes go to DIR' },
    work: { value: 'DIR', help: "with --upper: overlayfs' work directory, on the same file system" },
  },
  examples: [{ command: 'onefold image mount --objects /srv/objects tree.cfs /mnt', meaning: 'read-only' }],
  async run({ options, out }, [image = '', target = '']) {
    const { mountStandalone } = await import('../../../mount/standalone.ts')
    const { checkObjectPaths } = await import('./check-object-paths.ts')
    const { open } = await import('../../../linux/file.ts')
    const settings = await mountSettings(options)
    const name = pathFromUtf8(image)
    const fd = open(name, constants.O_RDONLY | constants.O_NOCTTY)
    try {
      checkObjectPaths(readFileSync(fd), name)
      mountStandalone({ ...settings, image: fd, name, target: pathFromUtf8(target) })
    } finally {
      closeSync(fd)
    }
    if (out.json) out.value({ image, target })
    else out.line(target)
  },
}

async function mountSettings(options: Options) {
  const { parseVerityDigest } = await import('../../../digest.ts')
  const objects = options.texts('objects').map(pathFromUtf8)
  usageUnless(objects.length > 0, 'image mount needs at least one --objects DIR', 'image')
  const [digest, upper, work] = ['digest', 'upper', 'work'].map((name) => options.text(name))
  usageUnless((upper === undefined) === (work === undefined), '--upper and --work go together', 'image')
  return {
    objects,
    readOnly: upper === undefined,
    verity: digest !== undefined || options.flag('require-verity') ? ('require' as const) : ('off' as const),
    ...(digest !== undefined && { digest: parseVerityDigest(digest) }),
    ...(upper !== undefined &&
      work !== undefined && { upper: { upper: pathFromUtf8(upper), work: pathFromUtf8(work) } }),
  }
}
