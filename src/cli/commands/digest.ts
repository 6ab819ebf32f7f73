import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { Call, Command } from '../command.ts'
import { imageOptions, obtainImage, openCallStore } from '../image.ts'
import { usageUnless } from '../usage.ts'

export const digest: Command = {
  operands: 'IMAGE … | --file FILE …',
  about: [
    'Prints the fs-verity digest of the composefs image of each IMAGE: the one digest that covers all of its tree, and that a',
    'mount can insist on. With --file prints the fs-verity digests of files (sha256, 4 KiB blocks), by which the store names',
    'objects; the same as `fsverity digest`. With --composefs-rs prints what `cfsctl oci compute-id` says of the images, which',
    'is the digest of another tree of the same layers. An IMAGE that the store does not have is pulled first.',
  ].join('\n'),
  options: {
    file: { help: 'operands are files' },
    'composefs-rs': { help: 'print the ids that composefs-rs gives the images' },
    algorithm: { value: 'NAME', help: 'with --composefs-rs: sha512 (default) or sha256' },
    layout: { value: 'N', help: 'with --composefs-rs: 1 (default), or 2 as its first releases wrote it' },
    'keep-user-xattrs': { help: 'with --composefs-rs: attributes that begin with "user." are part of the tree' },
    ...imageOptions,
  },
  examples: [
    { command: 'onefold digest alpine', meaning: 'the digest of its tree' },
    { command: 'onefold digest --file /usr/bin/env', meaning: 'the name the file would have in the store' },
    { command: 'onefold digest --composefs-rs bootc', meaning: 'the id that bootc and cfsctl know the image by' },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length > 0, 'digest takes at least one IMAGE or FILE', 'digest')
    usageUnless(!options.flag('file') || !options.flag('composefs-rs'), 'choose --file or --composefs-rs', 'digest')
    const found = options.flag('file') ? await digestFiles(operands) : await digestImages(call, operands)
    if (out.json) return out.value(found.map(([name, digest]) => ({ name, digest })))
    for (const [name, digest] of found) out.line(`${digest}  ${name}`)
  },
}

type Named = readonly [name: string, digest: string]

async function digestImages(call: Parameters<typeof obtainImage>[0], names: readonly string[]): Promise<Named[]> {
  await using store = await openCallStore(call)
  const digestOf = await digester(call, store)
  const found: Named[] = []
  for (const name of names) {
    const image = await obtainImage(call, store, name)
    found.push([name, await digestOf(image.record)])
  }
  return found
}

type Digester = (record: ImageRecord) => Promise<string>

async function digester({ options, signal }: Call, store: Store): Promise<Digester> {
  if (!options.flag('composefs-rs')) {
    const { ensureImage } = await import('../../transfer/ensure-image.ts')
    return (record) => ensureImage(store, record)
  }
  const { composefsRsId, storedContents } = await import('../../transfer/seal/composefs-rs-id.ts')
  const algorithm = options.text('algorithm') ?? 'sha512'
  usageUnless(algorithm === 'sha256' || algorithm === 'sha512', '--algorithm is sha256 or sha512', 'digest')
  const layout = Number(options.text('layout') ?? 1)
  usageUnless(layout === 1 || layout === 2, '--layout is 1 or 2', 'digest')
  const keepUserXattrs = options.flag('keep-user-xattrs')
  return (record) => composefsRsId(storedContents(store, record), { algorithm, layout, keepUserXattrs, signal })
}

async function digestFiles(paths: readonly string[]): Promise<Named[]> {
  const { fileDigest } = await import('../../store/objects/file-digest.ts')
  const { OnefoldError } = await import('../../error.ts')
  const found: Named[] = []
  for (const path of paths) {
    const digest = await fileDigest(path)
    if (digest === undefined) throw new OnefoldError('NOT_FOUND', `Cannot read "${path}": there is no such file`)
    found.push([path, digest])
  }
  return found
}
