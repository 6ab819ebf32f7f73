import { hasCode } from '../../error.ts'
import type { Store } from '../../store/store.ts'
import type { Call, Command } from '../command.ts'
import type { Candidate, Known } from '../completion/words.ts'
import { safeText } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const completion: Command = {
  operands: 'bash|zsh|fish|words',
  about: [
    'Prints what makes a shell complete commands, options, names of images and ids of mounts.',
    'The shell asks `onefold completion words -- WORD …` for what the last of these words, all behind `onefold`, may become:',
    'a line with word, tab and meaning for each candidate, and at last :files or :folders where paths may stand, or :none.',
  ].join('\n'),
  options: {},
  restAfter: 1,
  examples: [
    {
      command: 'onefold completion bash > /usr/share/bash-completion/completions/onefold',
      meaning: 'for everybody, as packages do',
    },
    { command: 'source <(onefold completion bash)', meaning: 'in ~/.bashrc; likewise for zsh in ~/.zshrc' },
    { command: 'onefold completion fish > ~/.config/fish/completions/onefold.fish', meaning: 'for fish' },
    { command: 'onefold completion words -- push deb', meaning: 'what a shell asks' },
  ],
  async run(call) {
    const [shell = '', ...words] = call.operands
    if (shell === 'words') return await printWords(call, words)
    const { scripts } = await import('../completion/scripts.ts')
    usageUnless(Object.hasOwn(scripts, shell) && words.length === 0, 'completion takes bash, zsh or fish', 'completion')
    const script = Object.entries(scripts).find(([name]) => name === shell)?.[1] ?? ''
    call.out.bytes(Buffer.from(script))
  },
}

async function printWords(call: Call, words: readonly string[]): Promise<void> {
  const { completeWords } = await import('../completion/words.ts')
  const { candidates, paths } = await completeWords(words, knownTo(call, words))
  if (call.out.json) return call.out.value({ candidates, paths })
  call.out.bytes(Buffer.from([...candidates.filter(isPlain).map(lineOf), `:${paths}\n`].join('')))
}

/** Tells whether a terminal shows a name as it is; one that it would take as an order is left to be typed. */
function isPlain({ word }: Candidate): boolean {
  return safeText(word) === word
}

function lineOf({ word, help }: Candidate): string {
  return help === undefined ? `${word}\n` : `${word}\t${safeText(help)}\n`
}

function knownTo(call: Call, words: readonly string[]): Known {
  const root = storeIn(words) ?? call.storeRoot
  return {
    commands: call.commands,
    images: () =>
      fromStore(root, (store) =>
        store.list().map(({ name, record }) => ({ word: name, help: record.manifest.digest.slice(0, 19) })),
      ),
    mounts: () =>
      fromStore(root, async (store) => {
        const { listMounts } = await import('../../mount/mount-status.ts')
        return listMounts(store).map(({ id, name, state }) => ({ word: id, help: `${name}, ${state}` }))
      }),
  }
}

/** Returns the store that the words name: nobody has expanded them. */
function storeIn(words: readonly string[]): string | undefined {
  const at = words.indexOf('--store')
  const root = at < 0 ? words.find((word) => word.startsWith('--store='))?.slice('--store='.length) : words[at + 1]
  return root?.replace(/^~(?=\/)/, process.env['HOME'] ?? '~')
}

/** Returns candidates from the store; where there is no store there are no names. */
async function fromStore(
  root: string | undefined,
  read: (store: Store) => Candidate[] | Promise<Candidate[]>,
): Promise<Candidate[]> {
  try {
    const { openStore } = await import('../../store/store.ts')
    await using store = await openStore(root, { create: false })
    const distinct = new Map((await read(store)).map((candidate) => [candidate.word, candidate]))
    return [...distinct.values()]
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') || hasCode(error, 'DENIED')) return []
    throw error
  }
}
