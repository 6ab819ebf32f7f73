/**
 * The little language of the examples in docs/tree.md, and of every test that says what a tree should be.
 *
 *     layer                                   the entries of one layer follow, in the order of its tar
 *       dir  etc mode=0700 owner=1:2 mtime=5.000000001
 *       file etc/motd "hello\n" user.lang="en"
 *       file usr/big "x"*5000
 *       symlink etc/link ../usr/big
 *       link etc/other etc/motd               a hard link and its target
 *       char dev/null 1:3
 *     tree                                    every name of the result, in depth-first byte order
 *       …
 *     image 0123…                             the digest of the composefs image of the result
 *
 * What is not said is 0755 for directories, 0644 for others, 0:0, mtime 0, no content. The fraction of an mtime is added to
 * its seconds, also to negative ones. Words with blanks or bytes that
 * are no ASCII letters are JSON strings, one char per byte. `refused CODE` stands in place of a tree.
 */
import type { Content, Entry, EntryType } from '../src/formats/entry.ts'
import { inlineMax, noContent } from '../src/formats/entry.ts'
import { verityDigest } from '../src/formats/fsverity/digest.ts'
import { type LayerKind, Merge } from '../src/image/apply.ts'
import { deviceOf, nodeTypeOf, walk } from '../src/image/json.ts'
import { type Directory, type Inode, compareNames } from '../src/formats/tree.ts'

export interface ExampleLayer {
  readonly kind: LayerKind
  readonly entries: Entry[]
}

export interface Example {
  readonly title: string
  readonly keepSelinux: boolean
  readonly layers: ExampleLayer[]
  /** The lines of the result, or undefined when it is refused. */
  readonly tree: string[] | undefined
  readonly refused: string | undefined
  readonly image: string | undefined
  /** What other programs make of the same layers, where it is something else: `umoci differs`, `overlayfs …`. */
  readonly peers: ReadonlyMap<string, string>
}

const fence = /^```tree ([^\n]+)\n(.*?)^```$/gms

/** The examples of a Markdown page, in order; the title is what follows the word `tree` on the fence. */
export function readExamples(markdown: string): Example[] {
  return [...markdown.matchAll(fence)].map(([, title = '', text = '']) => parseExample(title, text))
}

function parseExample(title: string, text: string): Example {
  const layers: ExampleLayer[] = []
  const peers = new Map<string, string>()
  let keepSelinux = false
  let tree: string[] | undefined
  let refused: string | undefined
  let image: string | undefined
  for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
    const [word = '', ...rest] = line.trim().split(/\s+/)
    if (line.startsWith(' ')) {
      if (tree === undefined) layers.at(-1)?.entries.push(parseEntry(line))
      else tree.push(formatEntry(parseEntry(line)))
    } else if (word === 'layer' || word === 'plain') layers.push({ kind: word, entries: [] })
    else if (word === 'keep-selinux') keepSelinux = true
    else if (word === 'tree') tree = []
    else if (word === 'refused') refused = rest[0]
    else if (word === 'image') image = rest[0]
    else peers.set(word, rest.join(' '))
  }
  return { title, keepSelinux, layers, tree, refused, image, peers }
}

/** The tree of one plain layer with these lines. */
export function treeOf(text: string): Directory {
  const merge = new Merge()
  merge.apply(entriesOf(text), 'plain')
  return merge.finish()
}

export function entriesOf(text: string): Entry[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseEntry)
}

const words: ReadonlyMap<string, EntryType> = new Map([
  ['file', 'file'],
  ['dir', 'directory'],
  ['symlink', 'symlink'],
  ['link', 'hardlink'],
  ['char', 'char'],
  ['block', 'block'],
  ['fifo', 'fifo'],
  ['socket', 'socket'],
])
const wordOf: ReadonlyMap<EntryType, string> = new Map([...words].map(([word, type]) => [type, word]))

const token = /([a-z_][\w.-]*=)?("(?:[^"\\]|\\.)*"(?:\*\d+)?|[^\s"=]+)/g

export function parseEntry(line: string): Entry {
  const [first, second, ...rest] = [...line.matchAll(token)].map(([, key = '', value = '']) => ({ key, value }))
  const type = words.get(first?.value ?? '')
  if (type === undefined) throw new Error(`not an entry: ${line}`)
  const positional = rest.find(({ key }) => key === '')?.value ?? ''
  const named = new Map(rest.filter(({ key }) => key !== '').map(({ key, value }) => [key.slice(0, -1), value]))
  const [uid = 0, gid = 0] = numbers(named.get('owner'), ':')
  const [major = 0, minor = 0] = type === 'char' || type === 'block' ? numbers(positional, ':') : []
  const [seconds = '0', fraction = '0'] = (named.get('mtime') ?? '0').split('.')
  return {
    path: unquote(second?.value ?? '').replace(/^\/$/, ''),
    type,
    mode: Number.parseInt(named.get('mode') ?? usualMode(first?.value ?? ''), 8),
    uid,
    gid,
    mtime: Number(seconds),
    mtimeNsec: Number(fraction.padEnd(9, '0')),
    major,
    minor,
    link: type === 'symlink' || type === 'hardlink' ? unquote(positional) : '',
    xattrs: new Map(
      [...named]
        .filter(([key]) => key.includes('.'))
        .map(([key, value]) => [key, Buffer.from(unquote(value), 'latin1')]),
    ),
    content: type === 'file' ? contentOf(Buffer.from(unquote(positional), 'latin1')) : noContent,
  }
}

/** Bytes behind the digests that tests have made, so that they can be shown and written again. */
const seen = new Map<string, Uint8Array>()

export function contentOf(bytes: Uint8Array): Content {
  if (bytes.length === 0) return noContent
  if (bytes.length <= inlineMax) return { kind: 'inline', bytes }
  const digest = verityDigest(bytes)
  seen.set(digest, bytes)
  return { kind: 'object', digest, size: bytes.length }
}

/** The bytes of content that `contentOf` has made in this process. */
export function bytesOf(content: Content): Uint8Array {
  if (content.kind === 'inline') return content.bytes
  if (content.kind === 'empty') return new Uint8Array()
  const bytes = content.kind === 'object' ? seen.get(content.digest) : undefined
  if (bytes === undefined) throw new Error('content that no test has made')
  return bytes
}

/** A finished tree in the same language, one line for each name but a root that has nothing to say. */
export function formatTree(root: Directory): string[] {
  const lines = [...walk(root)].map(({ path, inode, link }) =>
    link === undefined ? formatInode(path, inode) : `link ${quote(path)} ${quote(link)}`,
  )
  return lines[0] === 'dir /' ? lines.slice(1) : lines
}

export function formatEntry(entry: Entry): string {
  const type = wordOf.get(entry.type) ?? ''
  if (entry.type === 'hardlink') return `${type} ${quote(entry.path)} ${quote(entry.link)}`
  return format(type, entry.path, { ...entry, device: [entry.major, entry.minor], target: entry.link })
}

function formatInode(path: string, inode: Inode): string {
  return format(wordOf.get(nodeTypeOf(inode)) ?? '', path, { ...inode, device: deviceOf(inode.rdev) })
}

interface Shown {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number
  readonly mtimeNsec: number
  readonly xattrs: ReadonlyMap<string, Uint8Array>
  readonly content: Content
  readonly target: string
  readonly device: readonly [number, number]
}

function format(type: string, path: string, shown: Shown): string {
  const mode = (shown.mode & 0o7777).toString(8).padStart(4, '0')
  const usual = usualMode(type)
  const nsec = shown.mtimeNsec === 0 ? '' : `.${shown.mtimeNsec.toString().padStart(9, '0')}`
  return [
    type,
    path === '' ? '/' : quote(path),
    type === 'symlink' ? quote(shown.target) : '',
    type === 'char' || type === 'block' ? shown.device.join(':') : '',
    formatContent(bytesOf(shown.content)),
    mode === usual ? '' : `mode=${mode}`,
    shown.uid === 0 && shown.gid === 0 ? '' : `owner=${shown.uid}:${shown.gid}`,
    shown.mtime === 0 && nsec === '' ? '' : `mtime=${shown.mtime}${nsec}`,
    ...[...shown.xattrs].sort(([a], [b]) => compareNames(a, b)).map(([name, value]) => `${name}=${quoted(value)}`),
  ]
    .filter((part) => part !== '')
    .join(' ')
}

function usualMode(type: string): string {
  return type === 'symlink' ? '0777' : type === 'dir' ? '0755' : '0644'
}

function formatContent(bytes: Uint8Array): string {
  if (bytes.length === 0) return ''
  const repeated = bytes.every((byte) => byte === bytes[0]) && bytes.length > inlineMax
  return repeated ? `${quoted(bytes.subarray(0, 1))}*${bytes.length}` : quoted(bytes)
}

function quoted(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes).toString('latin1'))
}

function quote(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : JSON.stringify(text)
}

function unquote(text: string): string {
  const [, string, count] = /^(".*")(?:\*(\d+))?$/s.exec(text) ?? []
  if (string === undefined) return text
  const value: unknown = JSON.parse(string)
  return String(value).repeat(Number(count ?? 1))
}

function numbers(text: string | undefined, separator: string): number[] {
  return text === undefined || text === '' ? [] : text.split(separator).map(Number)
}
