import type { Command } from '../command.ts'
import { imageOptions, obtainImage, openCallStore } from '../image.ts'
import { integrityOf, integrityOptions } from '../shared-options.ts'
import { usageUnless } from '../usage.ts'

export const mount: Command = {
  operands: 'IMAGE [TARGET]',
  about: [
    'Mounts an image: EROFS metadata below overlayfs, files straight from the store, so that all containers share one page',
    'cache. TARGET is made when it does not exist; without one the mount gets a folder in the store, which is printed.',
    'Read-only unless --rw or --upper. Changes are kept when it is unmounted, and come back with --upper ID.',
    'Mounting needs root. An IMAGE that the store does not have is pulled first.',
  ].join('\n'),
  options: {
    rw: { help: 'writable; changes go to a folder in the store' },
    upper: { value: 'DIR|ID', help: 'writable; changes go to DIR, or are those kept from mount ID' },
    volatile: { help: 'do not make changes durable: faster, and lost after a crash' },
    verify: { help: 'hash the image against its name first' },
    ...integrityOptions,
    nosuid: { help: 'ignore setuid bits and file capabilities' },
    ...imageOptions,
  },
  examples: [
    { command: 'onefold mount alpine /mnt/alpine', meaning: 'read-only' },
    { command: 'onefold mount --rw debian:12 /mnt/debian', meaning: 'with changes kept in the store' },
    {
      command: 'onefold mount --upper 3f9c01d2ab44 debian:12 /mnt/debian',
      meaning: 'with the changes of an earlier mount',
    },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length === 1 || operands.length === 2, 'mount takes IMAGE and perhaps TARGET', 'mount')
    const [name = '', target] = operands
    const upper = options.text('upper')
    const integrity = await integrityOf(options)
    await using store = await openCallStore(call)
    const image = await obtainImage(call, store, name)
    const { mount: mountStored } = await import('../../library/mounting.ts')
    const mounted = await mountStored(store, image, {
      name,
      rw: options.flag('rw'),
      volatile: options.flag('volatile'),
      verify: options.flag('verify'),
      ...integrity,
      nosuid: options.flag('nosuid'),
      ...(target === undefined ? {} : { target }),
      ...(upper === undefined ? {} : { upper }),
    })
    if (out.json)
      return out.value({
        id: mounted.id,
        target: mounted.target,
        image: mounted.image,
        changes: mounted.changes ?? null,
      })
    out.line(mounted.target)
    out.note(`mounted as ${mounted.id}; take it away with: onefold umount ${mounted.id}`)
  },
}
