import type { Call, Command, OptionSpecs } from '../command.ts'
import { usageUnless } from '../usage.ts'
import type { Action } from './image/image-action.ts'
import { create } from './image/create-image.ts'
import { mountImageFile } from './image/mount-image-file.ts'
import { dump, info, list, objects } from './image/read-image-file.ts'

const actions: Readonly<Record<string, Action>> = { create, dump, ls: list, info, objects, mount: mountImageFile }

export const image: Command = {
  operands: `${Object.keys(actions).join('|')} …`,
  about: [
    'Makes and reads composefs image files anywhere, without the store: an image holds the names and metadata of a tree, and',
    'says of each file which object, named by its fs-verity digest, has its bytes. The same bytes as mkcomposefs makes.',
    '',
    ...Object.entries(actions).flatMap(([name, { operands, summary, options }]) => [
      `  image ${name} ${operands}`,
      `      ${summary}${withOptions(options)}`,
    ]),
    '',
    'What breaks the formats is refused, even where composefs itself is lenient; --compat takes that too.',
  ].join('\n'),
  options: Object.assign({}, ...Object.values(actions).map(({ options }) => options)) as OptionSpecs,
  examples: Object.values(actions).flatMap(({ examples }) => examples),
  async run(call) {
    const [name = '', ...operands] = call.operands
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined
    usageUnless(action !== undefined, `image takes one of ${Object.keys(actions).join(', ')}`, 'image')
    usageUnless(
      operands.length >= action.least && operands.length <= action.most,
      `image ${name} takes ${action.operands}`,
      'image',
    )
    checkOptions(call, name, action)
    await action.run(call, operands)
  },
}

function withOptions(options: OptionSpecs): string {
  const names = Object.keys(options).map((name) => `--${name}`)
  return names.length === 0 ? '' : ` (${names.join(' ')})`
}

/** Refuses an option of another action, which would be passed over in silence. */
function checkOptions({ options }: Call, name: string, action: Action): void {
  for (const option of Object.keys(image.options)) {
    const isGiven = options.flag(option) || options.text(option) !== undefined || options.texts(option).length > 0
    usageUnless(!isGiven || Object.hasOwn(action.options, option), `image ${name} takes no --${option}`, 'image')
  }
}
