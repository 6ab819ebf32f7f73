import * as fs from 'node:fs'
import fc from 'fast-check'
import type { Directory } from '../src/formats/tree.ts'
import { diffTrees } from '../src/image/diff.ts'
import { lchown, mknod, renameExchange, setMtime } from '../src/linux/file.ts'
import { setXattr } from '../src/linux/xattr.ts'
import { type Store, openStore } from '../src/store/store.ts'
import { importImage } from '../src/transfer/commit/import.ts'

/** An image with something to change, and the changes that a program may make in a mount of it. */

const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = fs.constants
export const long = 'more than sixty-four bytes, so that it becomes an object of its own. '.repeat(4)
export const quiet = { created: 0, onWarning: () => {} }

/** A tree with something to change in every way, below `folder`. */
function makeBase(folder: string): void {
  for (const path of ['etc/d/sub/deep', 'usr/lib', 'usr/gone/a', 'opt/x/y/z', 'var'])
    fs.mkdirSync(`${folder}/${path}`, { recursive: true })
  for (const path of [
    'etc/d/sub/deep/f',
    'etc/d/one',
    'etc/two',
    'usr/lib/big',
    'usr/gone/a/b',
    'opt/x/y/z/1',
    'opt/x/y/2',
    'opt/3',
  ])
    fs.writeFileSync(`${folder}/${path}`, path.length % 2 === 0 ? `${path}\n` : `${path} ${long}`)
  fs.symlinkSync('two', `${folder}/etc/link`)
  mknod(`${folder}/var/null`, 0o020666, 0x103)
  mknod(`${folder}/var/pipe`, 0o010644, 0)
  setXattr(`${folder}/usr/lib/big`, 'user.kept', Buffer.from('1'))
  for (const entry of fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    setMtime(`${folder}/${entry}`, 1000, 5)
  setMtime(folder, 1000, 5)
}

export async function baseStore(place: { at: (...names: string[]) => string }): Promise<Store> {
  const store = await openStore(place.at('store'))
  fs.mkdirSync(place.at('base'))
  makeBase(place.at('base'))
  await importImage(store, place.at('base'), 'base', quiet)
  return store
}

export function differences(a: Directory, b: Directory): string[] {
  return [...diffTrees(a, b)].map(
    (change) => `${change.kind} ${change.path} ${'fields' in change ? change.fields.join() : ''}`,
  )
}

/** One thing that a program may do; numbers choose among what is there. */
export const step = fc.record({
  act: fc.constantFrom(
    'write', 'append', 'truncate', 'chmod', 'chown', 'mkdir', 'remove', 'rename', 'rename', 'rename', 'exchange', 'link',
    'symlink', 'xattr', 'device', 'time',
  ), // prettier-ignore
  from: fc.nat(1000),
  to: fc.nat(1000),
  name: fc.constantFrom('a', 'b', 'd', 'one', 'x', 'usr', 'lib', '\u00e9', 'f'),
  size: fc.constantFrom(0, 5, 64, 65, 5000),
})

export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What the kernel refuses (a directory into itself, a name that is taken) is not done. */
export function tryStep(step: Step, root: string): void {
  try {
    take(step, root)
  } catch (error) {
    if (!(error instanceof Error && /\bE[A-Z]{2,}\b/.test(`${error.message} ${String(error.cause)}`))) throw error
  }
}

function write(path: string, body: Uint8Array): void {
  const fd = fs.openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK)
  try {
    fs.writeFileSync(fd, body)
  } finally {
    fs.closeSync(fd)
  }
}

/** Not by `recursive`: it follows symlinks, which lead out of the mount here. */
function namesBelow(folder: string, prefix = ''): string[] {
  return fs.readdirSync(`${folder}/${prefix}`).flatMap((name) => {
    const path = `${prefix}${name}`
    return fs.lstatSync(`${folder}/${path}`).isDirectory() ? [path, ...namesBelow(folder, `${path}/`)] : [path]
  })
}

function take({ act, from, to, name, size }: Step, root: string): void {
  const all = ['', ...namesBelow(root).toSorted()].map((path) => `${root}/${path}`)
  const folders = all.filter((path) => fs.lstatSync(path).isDirectory())
  const old = all[from % all.length] ?? root
  const made = `${folders[to % folders.length]}/${name}`
  const body = Buffer.alloc(size, name)
  switch (act) {
    case 'write':
      return write(made, body)
    case 'append':
      return fs.lstatSync(old).isFile() ? fs.appendFileSync(old, body) : undefined
    case 'truncate':
      return fs.lstatSync(old).isFile() ? fs.truncateSync(old, size) : undefined
    case 'chmod':
      return fs.lstatSync(old).isSymbolicLink() ? undefined : fs.chmodSync(old, size)
    case 'chown':
      return lchown(Buffer.from(old).toString('latin1'), size, from)
    case 'mkdir':
      return fs.mkdirSync(made)
    case 'remove':
      return old === `${root}/` ? undefined : fs.rmSync(old, { recursive: true })
    case 'rename':
      return fs.renameSync(old, made)
    case 'exchange':
      return renameExchange(Buffer.from(old).toString('latin1'), Buffer.from(made).toString('latin1'))
    case 'link':
      return fs.linkSync(old, made)
    case 'symlink':
      // Whoever follows it all the same finds nothing of this machine.
      return fs.symlinkSync(`/nowhere${old.slice(root.length)}`, made)
    case 'xattr':
      return setXattr(
        Buffer.from(old).toString('latin1'),
        size > 60 ? 'user.overlay.opaque' : `user.${name}`,
        Buffer.from('y'),
      )
    case 'device':
      return mknod(Buffer.from(made).toString('latin1'), size === 0 ? 0o010600 : 0o020600, size)
    case 'time':
      return setMtime(Buffer.from(old).toString('latin1'), -from, size)
  }
}
