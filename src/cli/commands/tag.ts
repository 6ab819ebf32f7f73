import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { usageUnless } from '../usage.ts'

export const tag: Command = {
  operands: 'IMAGE NAME',
  about: 'Gives a stored image another name. A name that is there already moves.',
  options: {},
  examples: [{ command: 'onefold tag registry.example/app:1.2 app', meaning: 'a short name for it' }],
  async run(call) {
    usageUnless(call.operands.length === 2, 'tag takes IMAGE and NAME', 'tag')
    const [image = '', name = ''] = call.operands
    await using store = await openCallStore(call, false)
    await store.tag(image, name, { signal: call.signal })
    if (call.out.json) call.out.value({ name, digest: store.ref(name)?.digest })
  },
}
