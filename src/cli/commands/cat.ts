import { OnefoldError } from '../../error.ts'
import type { Content } from '../../formats/entry.ts'
import { nodeTypeOf } from '../../formats/node-type.ts'
import type { Store } from '../../store/store.ts'
import type { Command } from '../command.ts'
import { findPath, imageOptions, obtainImage, openCallStore, viewOf } from '../image.ts'
import type { Output } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const cat: Command = {
  operands: 'IMAGE PATH …',
  about: [
    'Prints files of an image, straight from the store: nothing is mounted. Symlinks are followed inside the image.',
    'An IMAGE that the store does not have is pulled first.',
  ].join('\n'),
  options: imageOptions,
  examples: [{ command: 'onefold cat alpine /etc/os-release', meaning: 'one file' }],
  async run(call) {
    const [name = '', ...paths] = call.operands
    usageUnless(paths.length > 0, 'cat takes IMAGE and at least one PATH', 'cat')
    usageUnless(!call.out.json, 'cat prints bytes as they are, never JSON (ls --json tells all about files)', 'cat')
    await using store = await openCallStore(call)
    const view = await viewOf(store, await obtainImage(call, store, name))
    const files = paths.map((path) => ({ path, inode: findPath((place) => view.lookup(place), path, name).inode }))
    for (const { path, inode } of files) {
      const type = nodeTypeOf(inode)
      if (type !== 'file') throw new OnefoldError('USAGE', `Cannot print "${path}": it is a ${type}, expected a file`)
      await print(call.out, store, inode.content)
    }
  },
}

async function print(out: Output, store: Store, content: Content): Promise<void> {
  switch (content.kind) {
    case 'empty':
    case 'unknown':
      return
    case 'inline':
      return out.bytes(content.bytes)
    case 'object':
      for await (const piece of store.readObject(content.digest)) out.bytes(piece)
  }
}
