import { OnefoldError } from '../../error.ts'
import { pathFromUtf8 } from '../../paths.ts'
import type { Command, Options } from '../command.ts'
import { openCallStore } from '../image.ts'
import { showProgress } from '../progress.ts'
import { usageUnless } from '../usage.ts'
import type { Store, VerityPolicy } from '../../store/store.ts'

export const store: Command = {
  operands: '',
  about: [
    'Shows where the store is and how it keeps its files, or changes that. Files that are sealed with fs-verity can never',
    'change again: the kernel checks every page it reads of them. By default they are, where the file system can (btrfs;',
    'ext4 made with -O verity). A store that requires it refuses what cannot be sealed, and mounts nothing that is not.',
  ].join('\n'),
  options: {
    verity: {
      value: 'auto|require|off',
      help: 'seal files where the file system can, all of them, or no more of them',
    },
    'require-verity': { help: 'the same as --verity require' },
  },
  examples: [
    { command: 'onefold store', meaning: 'where it is, and whether its files are sealed' },
    { command: 'onefold store --require-verity', meaning: 'seal what there is, and all that comes' },
  ],
  async run(call) {
    const { operands, options, out, signal } = call
    usageUnless(operands.length === 0, 'store takes no operands', 'store')
    const policy = policyOf(options)
    await using opened = await openCallStore(call, policy !== undefined)
    if (policy !== undefined) {
      using progress = showProgress(out)
      progress.event({ type: 'step', step: 'sealing' })
      const { sealed, already, able } = await opened.setVerity(policy, { signal })
      progress.end()
      out.note(
        able || policy === 'off'
          ? `${sealed} files sealed, ${already} were before`
          : 'the file system, or the kernel, has no fs-verity: nothing is sealed',
      )
    }
    await show(opened, call.out)
  },
}

function policyOf(options: Options): VerityPolicy | undefined {
  const text = options.text('verity') ?? (options.flag('require-verity') ? 'require' : undefined)
  const isBoth = options.flag('require-verity') && text !== 'require'
  if (text === undefined || (!isBoth && (text === 'auto' || text === 'require' || text === 'off'))) return text
  throw new OnefoldError('USAGE', `Cannot use --verity ${JSON.stringify(text)}: expected auto, require or off`)
}

async function show(opened: Store, out: Parameters<Command['run']>[0]['out']): Promise<void> {
  const { statfs } = await import('../../linux/statfs.ts')
  const { formatBytes } = await import('../output.ts')
  const { type, size, available } = statfs(pathFromUtf8(opened.root))
  const { root, verity } = opened
  if (out.json) return out.value({ root, verity, fileSystem: { type, size, available } })
  out.line(`root         ${root}`)
  out.line(`file system  ${type}, ${formatBytes(available)} of ${formatBytes(size)} free`)
  out.line(`fs-verity    ${meanings[verity]}`)
}

const meanings = {
  auto: 'auto: files are sealed where the file system can',
  require: 'require: every file is sealed, and nothing else is mounted',
  off: 'off: files are not sealed',
} as const
