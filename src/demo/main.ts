import { readdirSync, rmSync, statSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { mount, unmount } from '../library/mounting.ts'
import { readTree } from '../library/reading.ts'
import { run } from '../library/running.ts'
import { formatBytes } from '../cli/output.ts'
import { OnefoldError } from '../error.ts'
import { lookup } from '../formats/lookup.ts'
import { parseConfig } from '../formats/oci/image-config.ts'
import { chrootRun } from '../run/chroot.ts'
import { findRuntime } from '../run/runtime.ts'
import { openSource } from '../sources/open-source.ts'
import { serveLayout } from '../sources/registry/serve-layout.ts'
import { openStore, type Store, type StoredImage } from '../store/store.ts'
import { type PullResult, pull } from '../transfer/pull/pull.ts'
import { type DemoImage, makeDemoImages } from './images.ts'

/**
 * Demo of the main job, end to end: two related images made of real programs, pulled over HTTP, stored once, mounted
 * and run. Everything lies in one temporary folder, and is gone when it ends.
 */

// The kernel mounts no image from a file on tmpfs without a loop device, and /tmp often is one.
const folder = await mkdtemp('/var/tmp/onefold-demo-')
try {
  await demo()
} catch (error) {
  const hint = error instanceof OnefoldError && error.hint !== undefined ? `\n  ${error.hint}` : ''
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}${hint}`)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function demo(): Promise<void> {
  const images = await timed('Making two images out of programs of this machine', async () =>
    makeDemoImages(join(folder, 'layout')),
  )
  for (const { name, layers, files, compressed } of images)
    say(`  demo/app:${name}: ${layers} layers, ${formatBytes(files)} of files, ${formatBytes(compressed)} to download`)

  await using registry = await serveLayout(join(folder, 'layout'))
  await using store = await openStore(join(folder, 'store'))
  for (const { name } of images) await pullOne(store, `${registry.host}/demo/app:${name}`, `app:${name}`)
  reportDisk(store, images)

  if (process.getuid?.() === 0) for (const { name } of images) await mountAndRun(store, `app:${name}`)
  else say('\nMounting needs root: run the demo as root to see the images mounted and run. Reading needs no mount:')
  await readWithoutMount(store)
}

async function pullOne(store: Store, reference: string, name: string): Promise<void> {
  await using source = await openSource(reference)
  const { stats } = await timed<PullResult>(`\nPulling ${name} over HTTP`, () => pull(store, source, { name }))
  say(
    `  ${stats.layersPulled} layers, ${formatBytes(stats.blobBytes)} downloaded, ${formatBytes(stats.tarBytes)} unpacked`,
  )
  say(`  ${stats.files} files, of which ${stats.newObjects} (${formatBytes(stats.newBytes)}) were new to the store`)
}

function reportDisk(store: Store, images: readonly DemoImage[]): void {
  const layered = images.reduce((sum, { files }) => sum + files, 0)
  const stored = diskBytes(store.root)
  say('\nDisk')
  say(`  one directory per layer   ${formatBytes(layered)}`)
  say(`  onefold, all included     ${formatBytes(stored)}  (${Math.round((stored / layered) * 100)} %)`)
}

async function mountAndRun(store: Store, name: string): Promise<void> {
  const image = store.find(name)
  const mounted = await timed(`\nMounting ${name}`, () => mount(store, image))
  try {
    say(`  at ${mounted.target}: ${readdirSync(mounted.target).join(' ')}`)
    await runProgram(store, image, name, mounted.target)
  } finally {
    unmount(store, mounted.id)
  }
}

async function runProgram(store: Store, image: StoredImage, name: string, root: string): Promise<void> {
  const runtime = runtimeOrNone()
  say(
    `  running it ${runtime === undefined ? 'in a chroot of the mount: there is no OCI runtime here' : `with ${runtime}`}`,
  )
  const code =
    runtime === undefined
      ? await chrootRun(root, parseConfig(store.blob(image.record.config.digest)).run)
      : (await run(store, image, { imageName: name, rm: true })).exitCode
  if (code !== 0) throw new OnefoldError('IO', `Cannot run the demo: the program of ${name} ended with ${code}`)
}

function runtimeOrNone(): string | undefined {
  try {
    return findRuntime(undefined)
  } catch {
    return undefined
  }
}

async function readWithoutMount(store: Store): Promise<void> {
  const objects = await Promise.all(
    ['app:1', 'app:2'].map(async (name) => {
      const content = lookup(await readTree(store, name), '/usr/bin/node')?.inode.content
      return content?.kind === 'object' ? content.digest : 'none'
    }),
  )
  say(`\nBoth images have the same /usr/bin/node: ${objects[0] === objects[1]}`)
  say(`  stored once, as ${objects[0]}`)
}

/** Returns the number of bytes that files and folders take on the disk. */
function diskBytes(path: string): number {
  const stat = statSync(path)
  const below = stat.isDirectory() ? readdirSync(path).map((name) => diskBytes(join(path, name))) : []
  return below.reduce((sum, bytes) => sum + bytes, stat.blocks * 512)
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  const result = await work()
  const took = performance.now() - began
  say(`${what}: ${took < 100 ? `${took.toFixed(1)} ms` : `${(took / 1000).toFixed(2)} s`}`)
  return result
}

function say(line: string): void {
  console.log(line)
}
