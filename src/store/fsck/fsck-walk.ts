import { type Stats, lstatSync } from 'node:fs'
import {
  type DigestFolder,
  checkedFile,
  digestOfName,
  folders,
  indexFile,
  lockFile,
  missingFile,
  mountsFolder,
  quarantineFolder,
  storeFile,
  tmpFolder,
} from '../store-layout.ts'
import { asidePath, listAside } from '../gc/aside.ts'
import { listCondemned, listOwned } from '../transaction/dead-folders.ts'
import { listFolder } from '../store-files.ts'
import { verityPolicy } from '../store-settings.ts'
import { octal } from './examine.ts'
import type { Findings } from './findings.ts'

export interface NamedFile {
  readonly path: string
  /** Path below the root. */
  readonly file: string
  readonly digest: string
}

/** Goes through a store by name. Nothing is followed: what is no file or folder of ours is a stray, or damage. */
export class Walk {
  /** Paths below the root that are nothing of ours. */
  readonly strays: string[] = []
  /** User to whom everything should belong. */
  readonly uid: number
  /** Whether every object and image has to be sealed with fs-verity. */
  readonly sealed: boolean
  readonly #root: string
  readonly #findings: Findings

  constructor(root: string, findings: Findings) {
    this.#root = root
    this.#findings = findings
    this.uid = lstatSync(root).uid
    this.sealed = verityPolicy(root) === 'require'
  }

  /**
   * Looks at the root and what lies in it. Folders that a store cannot do without were looked at when it was opened.
   */
  root(): void {
    const files = [storeFile, lockFile, indexFile, missingFile, checkedFile]
    const known = new Set([...folders, tmpFolder, mountsFolder, quarantineFolder, 'lost+found', ...files])
    for (const name of listFolder(this.#root)) if (!known.has(name)) this.strays.push(name)
    const mode = lstatSync(this.#root).mode & 0o777
    if (mode !== 0o700 && mode !== 0o755)
      this.#exposed('', `its mode is ${octal(mode)}, expected 0700, or 0755 when it is shared`)
    for (const name of files) this.#ours(name, 'file')
    for (const name of [...folders, tmpFolder, mountsFolder, quarantineFolder]) this.#ours(name, 'folder')
  }

  /** Lists files that are named as those of the folder are; the others are strays. */
  *files(folder: DigestFolder): Generator<NamedFile> {
    const hasFanOut = folder === 'objects' || folder === 'blobs'
    for (const name of hasFanOut ? this.#fanOut(folder) : listFolder(`${this.#root}/${folder}`)) {
      const digest = digestOfName(folder, name)
      const file = `${folder}/${name}`
      if (digest === undefined) this.strays.push(file)
      else yield { path: `${this.#root}/${file}`, file, digest }
    }
  }

  /**
   * Looks at transactions. Those of the living and of the dead are no strays; the next transaction takes care of the
   * latter.
   */
  transactions(): void {
    const aside = listAside(this.#root).map(({ kind, digest }) => asidePath(this.#root, kind, digest))
    const ours = new Set([...listOwned(this.#root), ...listCondemned(this.#root), ...aside])
    for (const name of listFolder(`${this.#root}/${tmpFolder}`)) {
      // A tag being set: gone in a moment, or left by a killed command until the next collection.
      if (/^ref-[0-9a-f-]{36}$/.test(name)) continue
      if (!ours.has(`${this.#root}/${tmpFolder}/${name}`)) this.strays.push(`${tmpFolder}/${name}`)
    }
  }

  /** Looks at a file or folder; undefined when there is nothing. What somebody else could write to is damage. */
  lookAt(
    file: string,
    what: 'file' | 'folder',
  ): { readonly stat: Stats; readonly exposed: string | undefined } | undefined {
    const stat = lstatSync(`${this.#root}/${file}`, { throwIfNoEntry: false })
    if (stat === undefined) return undefined
    const isRight = what === 'file' ? stat.isFile() : stat.isDirectory()
    if (!isRight) return { stat, exposed: `it is not a ${what === 'file' ? 'regular file' : 'folder'}` }
    if (stat.uid !== this.uid) return { stat, exposed: `it belongs to user ${stat.uid}, expected ${this.uid}` }
    const open = (stat.mode & 0o022) !== 0
    return { stat, exposed: open ? `others can write to it, its mode is ${octal(stat.mode & 0o777)}` : undefined }
  }

  *#fanOut(folder: DigestFolder): Generator<string> {
    for (const name of listFolder(`${this.#root}/${folder}`)) {
      const file = `${folder}/${name}`
      const seen = lstatSync(`${this.#root}/${file}`, { throwIfNoEntry: false })
      if (seen === undefined) continue
      if (!seen.isDirectory()) {
        this.strays.push(file)
        continue
      }
      this.#ours(file, 'folder')
      for (const below of listFolder(`${this.#root}/${file}`)) yield `${name}/${below}`
    }
  }

  #ours(file: string, what: 'file' | 'folder'): void {
    const exposed = this.lookAt(file, what)?.exposed
    if (exposed !== undefined) this.#exposed(file, exposed)
  }

  #exposed(file: string, problem: string): void {
    const name = file === '' ? this.#root : `${this.#root}/${file}`
    this.#findings.add({ kind: 'store', name, file, state: 'exposed', problem })
  }
}
