import type { Format } from './format.ts'

/** Every format that layers and images are read or written in, in the order in which help shows them. */
const formats = {
  estargz: async () => (await import('./estargz/format.ts')).estargz,
  'zstd-chunked': async () => (await import('./zstd-chunked/format.ts')).zstdChunked,
  'stargz-zstd': async () => (await import('./stargz-zstd/format.ts')).stargzZstd,
  soci: async () => (await import('./soci/format.ts')).soci,
} satisfies Readonly<Record<string, () => Promise<Format>>>

export type FormatName = keyof typeof formats

export const formatNames: readonly FormatName[] = Object.keys(formats) as FormatName[]

export function isFormatName(text: string): text is FormatName {
  return Object.hasOwn(formats, text)
}

/** The declaration of one format. */
export function loadFormat(name: FormatName): Promise<Format> {
  return formats[name]()
}

let all: Promise<readonly Format[]> | undefined

/** The declarations of all formats, which are small. */
export function loadFormats(): Promise<readonly Format[]> {
  return (all ??= Promise.all(formatNames.map(loadFormat)))
}
