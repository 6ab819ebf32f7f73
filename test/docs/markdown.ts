import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const projectRoot = join(import.meta.dirname, '../..')

export interface Page {
  /** Below the project: `docs/tree.md`. */
  readonly path: string
  readonly text: string
}

/** A fenced block: ```` ```sh root ```` has the language `sh` and the word `root`. */
export interface Block {
  readonly language: string
  readonly words: readonly string[]
  readonly text: string
  /** Of its first line, from 1. */
  readonly line: number
}

/** The project's own pages, in order of path. */
export function readPages(): Page[] {
  const paths = globSync(['*.md', 'docs/**/*.md', 'src/**/*.md'], { cwd: projectRoot })
  return paths.toSorted().map((path) => ({ path, text: readFileSync(join(projectRoot, path), 'utf8') }))
}

/** Blocks in lists are indented; their text is given without. */
export function blocksOf({ text }: Page): Block[] {
  const blocks: Block[] = []
  let open: { indent: string; language: string; words: string[]; lines: string[]; line: number } | undefined
  text.split('\n').forEach((each, index) => {
    const [, indent = '', info] = /^( *)```(.*)$/.exec(each) ?? []
    if (open === undefined) {
      const [language = '', ...words] = info?.trim().split(/\s+/) ?? []
      if (info !== undefined) open = { indent, language, words, lines: [], line: index + 2 }
    } else if (info === '') {
      const { language, words, lines, line } = open
      blocks.push({ language, words, text: lines.map((it) => `${it}\n`).join(''), line })
      open = undefined
    } else open.lines.push(each.startsWith(open.indent) ? each.slice(open.indent.length) : each.trimStart())
  })
  return blocks
}

/** What stands between the blocks. */
export function proseOf({ text }: Page): string {
  return text.replace(/^( *)```[^]*?^ *```$/gm, '')
}
