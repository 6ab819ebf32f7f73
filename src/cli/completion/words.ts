import type { Command, CommandEntry, OptionSpec, OptionSpecs } from '../command.ts'
import { fileFormatNames } from '../../formats/all.ts'
import { globalOptions } from '../globals.ts'
import { takesValue } from '../parse.ts'

/** A word that may stand where the cursor is. */
export interface Candidate {
  readonly word: string
  readonly help?: string
}

export interface Completion {
  readonly candidates: readonly Candidate[]
  /** Whether names of files, or of folders, are wanted as well. */
  readonly paths: 'files' | 'folders' | 'none'
}

/** The rest of the program, as completion asks it; the store is read for names only when one may stand there. */
export interface Known {
  readonly commands: Readonly<Record<string, CommandEntry>>
  images(): Promise<readonly Candidate[]>
  mounts(): Promise<readonly Candidate[]>
}

/**
 * Completes the last of `words`: all words behind `onefold`, as they stand. Options, operands and their kinds are
 * those that `--help` shows, so that a command needs no more than its declaration to be completed.
 */
export async function completeWords(words: readonly string[], known: Known): Promise<Completion> {
  const current = words.at(-1) ?? ''
  const found = await complete(words.slice(0, -1), current, known)
  return { ...found, candidates: found.candidates.filter(({ word }) => word.startsWith(current)) }
}

async function complete(before: readonly string[], current: string, known: Known): Promise<Completion> {
  const line = await readLine(before, known)
  const { command, specs, pending, operands } = line
  if (pending !== undefined) return await valuesOfOption(pending, known)
  if (!line.isOver && current.startsWith('-')) {
    const [, name = '', prefix] = /^--([^=]+)(=)/.exec(current) ?? []
    const spec = specs[name]
    if (prefix !== undefined)
      return spec === undefined ? nothing : prefixed(`--${name}=`, await valuesOfOption(spec, known))
    return { candidates: optionsOf(specs, line.used), paths: 'none' }
  }
  if (command === undefined) return { candidates: commandsOf(known), paths: 'none' }
  if (command === 'help') return { candidates: operands === 0 ? commandsOf(known) : [], paths: 'none' }
  return await valuesOf(operandAt(command.operands, operands), known)
}

const nothing: Completion = { candidates: [], paths: 'none' }

interface Line {
  readonly command: Command | 'help' | undefined
  readonly specs: OptionSpecs
  /** The option whose value comes next. */
  readonly pending: OptionSpec | undefined
  readonly used: ReadonlySet<string>
  readonly operands: number
  /** Behind `--`, or where everything belongs to somebody else, no word is an option of ours. */
  readonly isOver: boolean
}

async function readLine(before: readonly string[], known: Known): Promise<Line> {
  let command: Command | 'help' | undefined
  let specs: OptionSpecs = globalOptions
  let pending: OptionSpec | undefined
  let operands = 0
  let isOver = false
  const used = new Set<string>()
  for (const word of before) {
    if (pending !== undefined) pending = undefined
    else if (!isOver && word === '--') isOver = true
    else if (!isOver && word.startsWith('-') && word !== '-') {
      const name = optionName(word, specs)
      used.add(name)
      if (takesValue(word, specs)) pending = specs[name] ?? { help: '', value: '' }
    } else if (command === undefined) {
      command = word === 'help' ? 'help' : await known.commands[word]?.load()
      if (command === undefined) return { command: 'help', specs, pending, used, operands: 1, isOver: true }
      if (command !== 'help') specs = { ...command.options, ...globalOptions }
    } else {
      operands++
      if (command !== 'help' && operands === command.restAfter) isOver = true
    }
  }
  return { command, specs, pending, used, operands, isOver }
}

/** The long name of `--name`, `--name=value`, or of the last letter of `-abc`. */
function optionName(word: string, specs: OptionSpecs): string {
  if (word.startsWith('--')) return word.slice(2).replace(/=.*$/s, '')
  const letter = word.at(-1)
  return Object.entries(specs).find(([, { short }]) => short === letter)?.[0] ?? ''
}

function optionsOf(specs: OptionSpecs, used: ReadonlySet<string>): Candidate[] {
  return Object.entries(specs)
    .filter(([name, { multiple }]) => multiple === true || !used.has(name))
    .map(([name, { help }]) => ({ word: `--${name}`, help }))
}

function commandsOf({ commands }: Known): Candidate[] {
  const all = Object.entries(commands).map(([word, { summary }]) => ({ word, help: summary }))
  return [...all, { word: 'help', help: 'show help' }]
}

/** The `index`th of `IMAGE [TARGET]`, `IMAGE PATH …` or `IMAGE … | --file FILE …`, as it is written. */
function operandAt(operands: string, index: number): string {
  const words = operands
    .split(' | ')[0]!
    .replace(/[[\]]/g, '')
    .split(' ')
    .filter((word) => word !== '')
  const repeats = words.at(-1) === '…'
  const names = repeats ? words.slice(0, -1) : words
  const at = repeats ? Math.min(index, names.length - 1) : index
  // What follows an image as PATH or CMD lies in it.
  return names[0] === 'IMAGE' && /^(?:PATH|CMD)$/.test(names[at] ?? '') ? '' : (names[at] ?? '')
}

async function valuesOfOption({ value = '', choices }: OptionSpec, known: Known): Promise<Completion> {
  return choices === undefined
    ? await valuesOf(value, known)
    : { candidates: choices.map((word) => ({ word })), paths: 'none' }
}

/** Candidates for `IMAGE`, `DIR|ID`, `SRC:DST[:ro]`, `host|none` … */
async function valuesOf(placeholder: string, known: Known): Promise<Completion> {
  if (/^[a-z]+(?:\|[a-z]+)*$/.test(placeholder))
    return { candidates: placeholder.split('|').map((word) => ({ word })), paths: 'none' }
  const kinds = placeholder.split(/[|:[\]/]+/)
  const has = (...names: string[]): boolean => names.some((name) => kinds.includes(name))
  const candidates = [
    ...(has('IMAGE', 'NAME', 'REFERENCE') ? await known.images() : []),
    ...(has('MOUNT', 'ID') ? await known.mounts() : []),
    ...(has('SOURCE') ? sources : []),
    ...(has('DEST') ? destinations : []),
  ]
  const isFile = has('FILE', 'PATH', 'SRC', 'SOURCE', 'DEST')
  return { candidates, paths: isFile ? 'files' : has('DIR', 'TARGET') ? 'folders' : 'none' }
}

const files: readonly Candidate[] = fileFormatNames.map((name) => ({ word: `${name}:`, help: 'a file of that format' }))

const destinations: readonly Candidate[] = [
  { word: 'oci:', help: 'OCI image layout' },
  { word: 'oci-archive:', help: 'OCI image layout in a tar' },
  { word: 'docker-archive:', help: 'what docker load reads' },
  { word: 'tar:', help: 'the tree as a tar' },
  ...files,
]

const sources: readonly Candidate[] = [
  { word: 'docker://', help: 'registry' },
  ...destinations.slice(0, 2),
  { word: 'docker-archive:', help: 'what docker save wrote' },
  { word: 'dir:', help: 'what skopeo copy wrote to dir:' },
  { word: 'rootfs:', help: 'plain directory tree' },
  { word: 'tar:', help: 'plain tree in a tar' },
  ...files,
]

function prefixed(prefix: string, { candidates, paths }: Completion): Completion {
  return { candidates: candidates.map(({ word, help = '' }) => ({ word: `${prefix}${word}`, help })), paths }
}
