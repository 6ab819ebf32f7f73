import type { Command, CommandEntry, Glossary, OptionSpecs } from './command.ts'
import { globalOptions } from './globals.ts'
import { exitStatus, imageNames, programAbout } from './help.ts'

/**
 * Manual pages (man(7)) of what `--help` shows, without a date: the same sources give the same bytes. Every text is
 * data to roff, so no backslash, and no dot or quote at the beginning of a line, is left as it is.
 */

/** Returns `onefold.1`, the page of the program. */
export function programPage(version: string, commands: Readonly<Record<string, CommandEntry>>): string {
  const names = Object.keys(commands)
  return page([
    title('onefold', version),
    section('NAME', text('onefold - a container image store')),
    section('SYNOPSIS', synopsis('onefold', 'COMMAND', 'operands')),
    section('DESCRIPTION', text(programAbout)),
    section('COMMANDS', ...names.map((name) => term(bold(`onefold-${name}(1)`), commands[name]?.summary ?? ''))),
    section('OPTIONS', '.PP', text('Of every command:'), ...options(globalOptions)),
    section('IMAGE NAMES', text(imageNames)),
    section('EXIT STATUS', text(exitStatus)),
    section('SEE ALSO', text(names.map((name) => `onefold-${name}(1)`).join(', '))),
  ])
}

/** Returns `onefold-NAME.1`, the page of a command. */
export function commandPage(version: string, name: string, summary: string, command: Command): string {
  const own = options(command.options)
  return page([
    title(`onefold-${name}`, version),
    section('NAME', text(`onefold-${name} - ${summary}`)),
    section('SYNOPSIS', synopsis(`onefold ${name}`, command.operands)),
    section('DESCRIPTION', text(command.about)),
    ...(command.glossary === undefined ? [] : [glossary(command.glossary)]),
    ...(own.length === 0 ? [] : [section('OPTIONS', ...own)]),
    section('OPTIONS OF EVERY COMMAND', ...options(globalOptions)),
    section('EXAMPLES', ...command.examples.map(({ command: line, meaning }) => term(bold(line), meaning))),
    section('SEE ALSO', text('onefold(1)')),
  ])
}

function page(parts: readonly string[]): string {
  return `${parts.join('\n')}\n`
}

function title(name: string, version: string): string {
  // Options and paths are to be copied, so no word is hyphenated.
  return [`.TH "${escaped(name.toUpperCase())}" 1 "" "onefold ${escaped(version)}" "onefold"`, '.nh', '.ad l'].join(
    '\n',
  )
}

function section(name: string, ...lines: readonly string[]): string {
  return [`.SH "${name}"`, ...lines].join('\n')
}

function synopsis(command: string, ...operands: readonly string[]): string {
  return [bold(command), '[options]', ...operands.filter((word) => word !== '').map(escaped)].join(' ')
}

function glossary({ title, terms }: Glossary): string {
  return section(title.toUpperCase(), ...terms.map(({ term: word, meaning }) => term(bold(word), meaning)))
}

function options(specs: OptionSpecs): string[] {
  return Object.entries(specs).map(([name, { short, value, help }]) => {
    const long = `${bold(`--${name}`)}${value === undefined ? '' : ` ${italic(value)}`}`
    return term(short === undefined ? long : `${bold(`-${short}`)}, ${long}`, help)
  })
}

/** Returns a term of a list; `head` is roff already. */
function term(head: string, body: string): string {
  return `.TP\n${head}\n${text(body)}`
}

/** Returns paragraphs and lines as they were written: man fills them anew. */
function text(lines: string): string {
  return lines
    .split('\n')
    .map((line) => (line === '' ? '.PP' : guarded(escaped(line))))
    .join('\n')
}

function bold(word: string): string {
  return `\\fB${escaped(word)}\\fR`
}

function italic(word: string): string {
  return `\\fI${escaped(word)}\\fR`
}

/** Guards a line, so that none of ours becomes a request; quotes are escaped anyway. */
function guarded(line: string): string {
  return line.startsWith('.') ? `\\&${line}` : line
}

/** Escapes a text. A minus stays one that can be copied; other characters are named by their code points. */
function escaped(plain: string): string {
  return plain
    .replaceAll('\\', '\\(rs')
    .replaceAll('-', '\\-')
    .replaceAll('`', '\\(ga')
    .replaceAll("'", '\\(aq')
    .replaceAll('"', '\\(dq')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replace(/[^\x20-\x7e]/gu, (char) => `\\[u${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`)
}
