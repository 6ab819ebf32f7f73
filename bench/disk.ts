import { type BuiltImage, buildImages } from './build.ts'
import { output } from './command.ts'
import { collection } from './images.ts'
import { freshFs } from './loopfs.ts'
import { type Peer, containerd, onefold, podman } from './peers.ts'
import type { Options } from './pull.ts'
import { type Report, megabytes } from './report.ts'

/** What a host's images take on the disk, file system's own bookkeeping included, recipes and mountable images too. */
export async function disk({ say, only }: Options): Promise<Report> {
  const images = await buildImages(collection, say)
  const files = images.flatMap(({ layers }) => layers.flatMap((layer) => layer.files))
  const unique = new Map(files)
  const inBlocks = sum([...unique.values()].map((size) => Math.ceil(size / 4096) * 4096))
  const measured = []
  for (const peer of [onefold, podman, containerd])
    if (only === undefined || only.some((start) => peer.name.startsWith(start)))
      measured.push({ name: peer.name, bytes: await usedBy(peer, images, say) })
  const ours = measured.find(({ name }) => name === 'onefold')
  const facts = [
    { name: 'bytes of all files', bytes: sum(files.map(([, size]) => size)) },
    { name: 'bytes of different files', bytes: sum([...unique.values()]) },
    { name: 'the same in 4 KiB blocks', bytes: inBlocks },
  ]
  return {
    bench: 'disk',
    title: `Disk for ${images.length} images`,
    goals:
      ours === undefined
        ? []
        : [{ what: 'onefold by different files in 4 KiB blocks', most: 1.035, got: ours.bytes / inBlocks }],
    columns: ['', 'MB', 'ratio'],
    rows: [...facts, ...measured].map(({ name, bytes }) => [name, megabytes(bytes), (bytes / inBlocks).toFixed(3)]),
    data: [...facts, ...measured],
  }
}

async function usedBy(
  { name, store, start }: Peer,
  images: readonly BuiltImage[],
  say: Options['say'],
): Promise<number> {
  using fs = freshFs()
  const stop = await start?.(fs.path, images)
  for (const image of images) {
    say(`${name} stores ${image.name}`)
    await output('sh', ['-c', store(fs.path, image)])
  }
  const bytes = fs.used()
  await stop?.()
  return bytes
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
