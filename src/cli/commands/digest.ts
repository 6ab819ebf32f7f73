import type { Command } from '../command.ts'
import { imageOptions, obtainImage, openCallStore } from '../image.ts'
import { usageUnless } from '../usage.ts'

export const digest: Command = {
  operands: 'IMAGE … | --file FILE …',
  about: [
    'Prints the fs-verity digest of the composefs image of each IMAGE: the one digest that covers all of its tree, and that a',
    'mount can insist on. With --file prints the fs-verity digests of files (sha256, 4 KiB blocks), by which the store names',
    'objects; the same as `fsverity digest`.',
  ].join('\n'),
  options: { file: { help: 'operands are files' }, ...imageOptions },
  examples: [
    { command: 'onefold digest alpine', meaning: 'the digest of its tree' },
    { command: 'onefold digest --file /usr/bin/env', meaning: 'the name the file would have in the store' },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length > 0, 'digest takes at least one IMAGE or FILE', 'digest')
    const found = options.flag('file') ? await digestFiles(operands) : await digestImages(call, operands)
    if (out.json) return out.value(found.map(([name, digest]) => ({ name, digest })))
    for (const [name, digest] of found) out.line(`${digest}  ${name}`)
  },
}

type Named = readonly [name: string, digest: string]

async function digestImages(call: Parameters<typeof obtainImage>[0], names: readonly string[]): Promise<Named[]> {
  await using store = await openCallStore(call)
  const { ensureImage } = await import('../../transfer/image.ts')
  const found: Named[] = []
  for (const name of names) {
    const image = await obtainImage(call, store, name)
    found.push([name, await ensureImage(store, image.record)])
  }
  return found
}

async function digestFiles(paths: readonly string[]): Promise<Named[]> {
  const { FileHasher } = await import('../../store/objects.ts')
  const { OnefoldError } = await import('../../error.ts')
  const hasher = new FileHasher()
  return paths.map((path) => {
    const digest = hasher.hash(path)
    if (digest === undefined) throw new OnefoldError('NOT_FOUND', `Cannot read "${path}": there is no such file`)
    return [path, digest]
  })
}
