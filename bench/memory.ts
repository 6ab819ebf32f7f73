import { randomFillSync } from 'node:crypto'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Entry } from '../src/formats/entry.ts'
import { tarTrailer, writeTarHeader } from '../src/formats/tar/tar-writer.ts'
import { file } from '../test/fixtures/images.ts'
import { benchFolder } from './images.ts'
import { type LayerBlob, LayerWriter, Layout } from './layout.ts'
import { compare } from './measure.ts'
import { launcher } from './peers.ts'
import type { Options } from './pull.ts'
import { type Report, megabytes, seconds } from './report.ts'

const pieceBytes = 64 * 2 ** 20
const sizes = [256, 1024, 4096].map((megabytes) => megabytes * 2 ** 20)

/** Peak memory of a pull by the size of the layer, which is one file: it must not depend on it. */
export async function memory({ rounds, say }: Options): Promise<Report> {
  const measured = await compare(
    sizes.map((size) => ({
      name: `${size / 2 ** 20} MiB`,
      command: ({ path }) => `${launcher} --quiet --store '${path}/store' pull ${bigImage(size)}`,
    })),
    { rounds: Math.min(rounds, 3), say },
  )
  const [least, most] = [measured[0], measured.at(-1)]
  if (least === undefined || most === undefined) throw new Error('nothing was measured')
  return {
    bench: 'memory',
    title: 'Peak memory of pulling one layer of one file',
    goals: [{ what: 'memory with 4 GiB by memory with 256 MiB', most: 1.25, got: most.rss / least.rss }],
    columns: ['layer', 'RSS MB', 'wall s'],
    rows: measured.map(({ name, rss, wall }) => [name, megabytes(rss), seconds(wall)]),
    data: measured,
  }
}

/** An image with one layer of one file; made once. */
function bigImage(size: number): string {
  const layout = new Layout(join(benchFolder, 'big'))
  const tag = `${size / 2 ** 20}`
  if (!layout.has(tag)) layout.addImage(tag, [bigLayer(layout, size)])
  return `oci:${layout.folder}:${tag}`
}

/** The file repeats one piece, far longer than gzip's window, each time as a gzip member: made fast, read like any other. */
function bigLayer(layout: Layout, size: number): LayerBlob {
  const writer = new LayerWriter(layout)
  const add = (tar: Uint8Array, member: Uint8Array = gzipSync(tar)): void => {
    writer.tar(tar)
    writer.gzip(member)
  }
  const piece = halfRandom(pieceBytes)
  const member = gzipSync(piece)
  add(writeTarHeader(bigFile(size), size))
  for (let done = 0; done < size; done += pieceBytes) add(piece, member)
  add(tarTrailer())
  return writer.finish()
}

/** Compresses to half, as programs do. */
function halfRandom(length: number): Uint8Array {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 128) randomFillSync(bytes, at, 64)
  return bytes
}

function bigFile(size: number): Entry {
  return { ...file('big').entry, content: { kind: 'unknown', size } }
}
