import type { OptionsOf } from './format-options.ts'
import type { Format, FormatWriter, IndexAttacher } from './format.ts'
import type { OwnFiles } from './own-files.ts'
import { stargzOwnFiles } from './toc-json/stargz-own-files.ts'

/** A format before its declaration is loaded. */
interface FormatLine {
  load(): Promise<Format>
  /**
   * True when one file can be a whole image or layer, so that `NAME:FILE` names it: no image can be called NAME then.
   */
  readonly isFile?: true
  /** Files that the format adds to the tar of a layer for itself; here, since a merge waits for nothing. */
  readonly ownFiles?: OwnFiles
}

/** Every format that layers and images are read or written in, in the order in which help shows them. */
const formats = {
  estargz: { load: async () => (await import('./estargz/format.ts')).estargz, ownFiles: stargzOwnFiles },
  'zstd-chunked': { load: async () => (await import('./zstd-chunked/format.ts')).zstdChunked },
  'stargz-zstd': { load: async () => (await import('./stargz-zstd/format.ts')).stargzZstd, ownFiles: stargzOwnFiles },
  soci: { load: async () => (await import('./soci/format.ts')).soci },
  'erofs-tar': { load: async () => (await import('./erofs-tar/format.ts')).erofsTar, isFile: true },
  'tar+gzip': { load: async () => (await import('./plain-tar/format.ts')).tarGzip },
  'tar+zstd': { load: async () => (await import('./plain-tar/format.ts')).tarZstd },
  tar: { load: async () => (await import('./plain-tar/format.ts')).tar },
} satisfies Readonly<Record<string, FormatLine>>

const lines: Readonly<Record<string, FormatLine>> = formats

export type FormatName = keyof typeof formats

export const formatNames: readonly FormatName[] = Object.keys(formats) as FormatName[]

export function isFormatName(text: string): text is FormatName {
  return Object.hasOwn(formats, text)
}

/** Names of formats in which one file is a whole image or layer. */
export const fileFormatNames: readonly string[] = formatNames.filter((name) => lines[name]?.isFile === true)

/** Files that formats add to the tars of layers for themselves; formats may share them. */
export const ownFiles: ReadonlySet<OwnFiles> = new Set(formatNames.flatMap((name) => lines[name]?.ownFiles ?? []))

/** The declaration of one format; undefined when there is none of that name. */
export async function loadFormat(name: string): Promise<Format | undefined> {
  return isFormatName(name) ? await formats[name].load() : undefined
}

let all: Promise<readonly Format[]> | undefined

/** Returns the declarations of all formats, which are small. */
export function loadFormats(): Promise<readonly Format[]> {
  return (all ??= Promise.all(formatNames.map((name) => formats[name].load())))
}

/** Media types of layers that are in a format and no tars. */
export async function loadLayerTypes(): Promise<ReadonlySet<string>> {
  return new Set((await loadFormats()).flatMap(({ layerTypes = [] }) => layerTypes))
}

/** A format that layers can be written in. */
export interface WritableDeclaration extends Format {
  readonly name: WritableFormat
  readonly writer: FormatWriter
}

export async function loadWritable(): Promise<readonly WritableDeclaration[]> {
  return (await loadFormats()).flatMap((format) => {
    const { writer } = format
    return writer === undefined ? [] : [{ ...format, name: format.name as WritableFormat, writer }]
  })
}

/** A format whose index can be made beside an image where it lies. */
export interface AttachableDeclaration extends Format {
  readonly name: AttachableFormat
  readonly attacher: IndexAttacher
}

export async function loadAttachable(): Promise<readonly AttachableDeclaration[]> {
  return (await loadFormats()).flatMap((format) => {
    const { attacher } = format
    return attacher === undefined ? [] : [{ ...format, name: format.name as AttachableFormat, attacher }]
  })
}

// What the declarations say, as types: whoever calls the library is told by the compiler what can be chosen.

type Declared<N extends FormatName> = Awaited<ReturnType<(typeof formats)[N]['load']>>
type Intersection<T> = (T extends unknown ? (value: T) => void : never) extends (value: infer I) => void ? I : never

/** Formats that layers can be written in. */
export type WritableFormat = {
  [N in FormatName]: Declared<N> extends { readonly writer: FormatWriter } ? N : never
}[FormatName]

/** Formats whose index can be made beside an image where it lies. */
export type AttachableFormat = {
  [N in FormatName]: Declared<N> extends { readonly attacher: IndexAttacher } ? N : never
}[FormatName]

/** Options of any of the formats that are written. */
export type WriterOptions = Intersection<
  {
    [N in FormatName]: Declared<N> extends { readonly writer: FormatWriter<infer S> } ? OptionsOf<S> : never
  }[FormatName]
>

/** Options of any of the formats whose index can be attached. */
export type AttacherOptions = Intersection<
  {
    [N in FormatName]: Declared<N> extends { readonly attacher: IndexAttacher<infer S> } ? OptionsOf<S> : never
  }[FormatName]
>
