import type { Format } from './format.ts'

interface FormatLine {
  load(): Promise<Format>
  /** Whether one file can be a whole image or layer, so that `NAME:FILE` names it: no image can be called NAME then. */
  readonly isFile?: true
}

/** Every format that layers and images are read or written in, in the order in which help shows them. */
const formats = {
  estargz: { load: async () => (await import('./estargz/format.ts')).estargz },
  'zstd-chunked': { load: async () => (await import('./zstd-chunked/format.ts')).zstdChunked },
  'stargz-zstd': { load: async () => (await import('./stargz-zstd/format.ts')).stargzZstd },
  soci: { load: async () => (await import('./soci/format.ts')).soci },
} satisfies Readonly<Record<string, FormatLine>>

const lines: Readonly<Record<string, FormatLine>> = formats

export type FormatName = keyof typeof formats

export const formatNames: readonly FormatName[] = Object.keys(formats) as FormatName[]

export function isFormatName(text: string): text is FormatName {
  return Object.hasOwn(formats, text)
}

/** Names of formats in which one file is a whole image or layer. */
export const fileFormatNames: readonly string[] = formatNames.filter((name) => lines[name]?.isFile === true)

/** The declaration of one format; undefined when there is none of that name. */
export async function loadFormat(name: string): Promise<Format | undefined> {
  return isFormatName(name) ? await formats[name].load() : undefined
}

let all: Promise<readonly Format[]> | undefined

/** The declarations of all formats, which are small. */
export function loadFormats(): Promise<readonly Format[]> {
  return (all ??= Promise.all(formatNames.map((name) => formats[name].load())))
}
