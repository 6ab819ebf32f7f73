import { fileFormatNames } from '../formats/all.ts'
import type { Command, Glossary, OptionSpecs } from './command.ts'
import { commandTable } from './commands.ts'
import { globalOptions } from './globals.ts'

/** Description of the program in one line, which the manual pages have as well. */
export const programAbout = 'a container image store. Any image format in, every file once, a kernel mount out.'

export const imageNames = [
  'Images are named as for skopeo: alpine, HOST/NAME:TAG, HOST/NAME@sha256:…, oci:DIR[:TAG], oci-archive:FILE[:TAG],',
  'docker-archive:FILE[:TAG], dir:DIR, and for plain trees rootfs:DIR and tar:FILE.',
  ...fileFormatNames.map((name) => `A file of the format ${name} is ${name}:FILE.`),
].join('\n')

export const exitStatus = [
  '0 done, 1 failed, 2 wrong usage, 3 not found, 4 fsck leaves damage, 5 fsck repaired all damage,',
  '125 run could not start, 130 interrupted. `run` otherwise ends as the program it ran.',
].join('\n')

export function programHelp(): string {
  const width = Math.max(...Object.keys(commandTable).map((name) => name.length))
  return [
    `onefold: ${programAbout}`,
    '',
    'Usage: onefold [options] COMMAND [options] [operands]',
    '',
    'Commands:',
    ...Object.entries(commandTable).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Options of every command:',
    ...optionLines(globalOptions),
    '',
    imageNames,
    '',
    `Exit codes: ${exitStatus}`,
    '',
    'Start here:',
    '  onefold pull alpine && onefold run -it alpine sh',
    '  onefold COMMAND --help',
  ].join('\n')
}

export function commandHelp(name: string, command: Command): string {
  const own = optionLines(command.options)
  return [
    `Usage: onefold ${name} [options]${command.operands === '' ? '' : ` ${command.operands}`}`,
    '',
    command.about,
    ...(command.glossary === undefined ? [] : glossaryLines(command.glossary)),
    ...(own.length === 0 ? [] : ['', 'Options:', ...own]),
    '',
    'Options of every command:',
    ...optionLines(globalOptions),
    '',
    'Examples:',
    ...command.examples.flatMap(({ command: line, meaning }) => [`  ${line}`, `      ${meaning}`]),
  ].join('\n')
}

function glossaryLines({ title, terms }: Glossary): string[] {
  const width = Math.max(...terms.map(({ term }) => term.length))
  return ['', `${title}:`, ...terms.map(({ term, meaning }) => `  ${term.padEnd(width)}  ${meaning}`)]
}

function optionLines(specs: OptionSpecs): string[] {
  const rows = Object.entries(specs).map(([name, { short, value, help }]) => {
    const long = `--${name}${value === undefined ? '' : ` ${value}`}`
    return [`  ${short === undefined ? '    ' : `-${short}, `}${long}`, help] as const
  })
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  return rows.map(([left, help]) => `${left.padEnd(width)}  ${help}`)
}
