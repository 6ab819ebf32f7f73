import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConvertFormat } from '../src/transfer/convert/convert-options.ts'
import { type BuiltImage, buildImages } from './build.ts'
import { output, started } from './command.ts'
import { app } from './images.ts'
import type { LoopFs } from './loopfs.ts'
import { type Contender, compare } from './measure.ts'
import { launcher, oci } from './peers.ts'
import { plainCopy } from './plain.ts'
import { type Options, describe, row } from './pull.ts'
import { type Report, megabytes } from './report.ts'

const columns = ['', 'ratio', 'spread', 'wall s', 'user s', 'sys s', 'RSS MB', 'disk MB']
const formats: readonly ConvertFormat[] = ['estargz', 'zstd-chunked', 'stargz-zstd', 'tar+zstd', 'tar+gzip']

/**
 * Writes the layers of an image in another format: onefold from a store that has just been filled, skopeo from a folder of
 * plain tars, ctr-remote from the content of a containerd of its own.
 */
export async function converting({ rounds, say, only }: Options): Promise<Report> {
  const image = await built(say)
  const plain = await plainCopy(image)
  const skopeo: Contender = {
    name: 'skopeo zstd',
    command: ({ path }) => `skopeo copy --quiet --dest-compress-format zstd dir:${plain} 'oci:${path}/out:x'`,
  }
  const others = [
    remote(image, 'estargz', '--estargz'),
    remote(image, 'stargz-zstd', '--zstdchunked'),
    ...formats.map((format) => onefold(image, format)),
  ]
  const chosen = others.filter(({ name }) => only === undefined || only.some((start) => name.startsWith(start)))
  const measured = await compare([skopeo, ...chosen], { rounds, say })
  return {
    bench: 'convert',
    title: `Convert ${describe(image)}, by wall time of skopeo`,
    goals: [],
    columns,
    rows: measured.map(row),
    data: measured,
  }
}

/** Makes the SOCI index of an image in a layout: one pass over its gzip layers. */
export async function indexing({ rounds, say }: Options): Promise<Report> {
  const image = await built(say)
  const gunzip: Contender = {
    name: 'gzip -dc',
    command: ({ path }) => `for f in '${path}'/layout/blobs/sha256/*; do gzip -dcf "$f"; done >/dev/null`,
    prepare: copied(image),
  }
  const index: Contender = {
    name: 'onefold index',
    command: ({ path }) => `${launcher} --quiet index --min-layer-size 0 'oci:${path}/layout:x'`,
    prepare: copied(image),
  }
  const measured = await compare([gunzip, index], { rounds, say })
  const tar = image.layers.reduce((sum, { tarSize }) => sum + tarSize, 0)
  const ours = measured.find(({ name }) => name === 'onefold index')
  const goals =
    ours === undefined ? [] : [{ what: 'seconds for 150 MB of tar', most: 1, got: (ours.wall / tar) * 150e6 }]
  const title = `Make the SOCI index of ${describe(image)}, ${megabytes(tar)} MB of tar, by wall time of gzip -dc`
  return { bench: 'index', title, goals, columns, rows: measured.map(row), data: measured }
}

function onefold(image: BuiltImage, format: ConvertFormat): Contender {
  const store = (path: string): string => `${launcher} --quiet --store '${path}/store'`
  return {
    name: `onefold ${format}`,
    async prepare({ path }) {
      await output('sh', ['-c', `${store(path)} pull ${oci(image)} --name app >/dev/null`])
    },
    command: ({ path }) => `${store(path)} convert app --to ${format} 'oci:${path}/out:x'`,
  }
}

/** Converts in its own process, and reads and writes through a containerd, which is not measured. */
function remote(image: BuiltImage, format: ConvertFormat, option: string): Contender {
  let stop = async (): Promise<void> => {}
  const ctr = (path: string): string => `ctr-remote --address '${path}/c.sock' image`
  return {
    name: `ctr-remote ${format}`,
    async prepare({ path }) {
      await output('skopeo', ['copy', '--quiet', oci(image), `oci-archive:${path}/app.tar:localhost/app:1`])
      stop = await startContainerd(path)
      await output('sh', ['-c', `${ctr(path)} import --no-unpack '${path}/app.tar'`])
    },
    command: ({ path }) =>
      `name=$(${ctr(path)} ls -q | head -n 1) && ${ctr(path)} convert ${option} --oci "$name" localhost/out:1 >/dev/null`,
    finish: () => stop(),
  }
}

async function startContainerd(path: string): Promise<() => Promise<void>> {
  const socket = `${path}/c.sock`
  const folders = ['--root', `${path}/root`, '--state', `${path}/state`]
  const { child, ended } = started('containerd', [...folders, '--address', socket, '--log-level', 'error'])
  for (let i = 0; i < 200 && !existsSync(socket); i++) await sleep(50)
  return async () => {
    child.kill()
    // It says that it was stopped.
    await ended.catch(() => undefined)
  }
}

function copied(image: BuiltImage): (fs: LoopFs) => Promise<void> {
  return async ({ path }) => {
    await output('skopeo', ['copy', '--quiet', oci(image), `oci:${path}/layout:x`])
  }
}

async function built(say: Options['say']): Promise<BuiltImage> {
  const [image] = await buildImages([app], say)
  if (image === undefined) throw new Error('no image was built')
  return image
}
