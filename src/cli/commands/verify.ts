import { proofOf } from '../../transfer/verify/proof.ts'
import type { Command } from '../command.ts'
import { exitCodes } from '../globals.ts'
import { openCallStore } from '../image.ts'
import { showProgress } from '../progress.ts'
import {
  limitOptions,
  limitsOf,
  platformOf,
  platformOptions,
  sourceOptions,
  sourceOptionsOf,
} from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const verify: Command = {
  operands: 'IMAGE',
  about: [
    'Shows how far an image of the store is proven. A layer is proven when its tar was hashed and has the diffID of the',
    'config. A layer that was pulled by parts, by an index that does not bring its tar back, is only known to match that',
    'index: --fetch downloads it whole and proves it. If that fails, the image is not mounted or run any more.',
    '',
    'Exit codes: 0 proven, 1 not proven, 4 found to lie.',
  ].join('\n'),
  options: {
    fetch: { help: 'download what has not been proven, from where the image was pulled' },
    from: { value: 'SOURCE', help: 'with --fetch: download it from here instead' },
    ...platformOptions,
    ...sourceOptions,
    ...limitOptions,
  },
  examples: [
    { command: 'onefold verify app', meaning: 'what is proven of it' },
    { command: 'onefold verify --fetch app', meaning: 'prove the rest' },
  ],
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 1, 'verify takes one IMAGE', 'verify')
    usageUnless(options.text('from') === undefined || options.flag('fetch'), '--from needs --fetch', 'verify')
    const [name = ''] = operands
    const limits = limitsOf(options)
    const platform = await platformOf(options)
    await using store = await openCallStore(call, false)
    const image = store.find(name, { platform })
    let found = proofOf(image.record)
    if (options.flag('fetch') && found.proof !== 'proven') {
      const { openSource } = await import('../../sources/open-source.ts')
      const { proveImage } = await import('../../transfer/verify/prove-image.ts')
      const origin = options.text('from') ?? image.record.origin.source
      await using source = await openSource(origin, {
        ...sourceOptionsOf(options, out.note, signal),
        omit: [store.root],
      })
      using progress = showProgress(out)
      found = await proveImage(store, image, source, { limits, signal, onProgress: progress.event })
      progress.end()
    }
    if (out.json) out.value(found)
    else {
      out.line(`${found.proof}  ${found.manifest}`)
      for (const { blob, proof, why } of found.layers) out.line(`  ${proof.padEnd(8)}  ${blob}  ${why}`)
    }
    if (found.proof === 'failed') return exitCodes.damage
    return found.proof === 'proven' ? exitCodes.ok : exitCodes.failed
  },
}
