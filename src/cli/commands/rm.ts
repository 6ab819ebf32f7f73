import { hasCode } from '../../error.ts'
import type { Command } from '../command.ts'
import { openCallStore } from '../image.ts'
import { usageUnless } from '../usage.ts'

export const rm: Command = {
  operands: 'NAME …',
  about: 'Removes names of images. What no name needs any more is freed by the next gc; mounts go on undisturbed.',
  options: { ignore: { help: 'names that are not there are no error' } },
  examples: [{ command: 'onefold rm app:1.1 && onefold gc', meaning: 'remove an image and free its space' }],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length > 0, 'rm takes at least one NAME', 'rm')
    await using store = await openCallStore(call, false)
    const removed: string[] = []
    for (const name of operands) {
      try {
        removed.push(await store.remove(name, { signal: call.signal }))
        if (!out.json) out.line(removed.at(-1) ?? name)
      } catch (error) {
        if (!options.flag('ignore') || !hasCode(error, 'NOT_FOUND')) throw error
      }
    }
    if (out.json) out.value({ removed })
  },
}
