import { mkdir } from 'node:fs/promises'
import { type BuiltImage, buildImages, layerFiles } from './build.ts'
import { output } from './command.ts'
import { app } from './images.ts'
import { type Contender, compare } from './measure.ts'
import { launcher, oci } from './peers.ts'
import { plainCopy } from './plain.ts'
import { type Options, describe, row } from './pull.ts'
import type { Goal, Report } from './report.ts'

const onefold = (path: string): string => `${launcher} --quiet --store '${path}/store'`

/** An image from a store that was just filled: what is read lies in the page cache. */
function exporting(image: BuiltImage, destination: (path: string) => string): Contender {
  return {
    name: 'onefold',
    async prepare({ path }) {
      await output('sh', ['-c', `${onefold(path)} pull ${oci(image)} --name app >/dev/null`])
    },
    command: ({ path }) => `${onefold(path)} export app '${destination(path)}'`,
  }
}

/** To an archive of an OCI layout, compressing; skopeo reads the layers as plain tars. */
export async function exportArchive(options: Options): Promise<Report> {
  const image = await built(options)
  const plain = await plainCopy(image)
  const skopeo: Contender = {
    name: 'skopeo',
    command: ({ path }) => `skopeo copy --quiet dir:${plain} 'oci-archive:${path}/out.tar:x'`,
  }
  const ours = exporting(image, (path) => `oci-archive:${path}/out.tar:x`)
  return await report(
    'export',
    `Write ${describe(image)} to an OCI archive, compressing it, by wall time of skopeo`,
    [skopeo, ours],
    options,
  )
}

/** The merged tree as one tar; tar(1) reads it from a folder that was just unpacked. */
export async function exportTar(options: Options): Promise<Report> {
  const image = await built(options)
  const bytes = image.layers.flatMap((layer) => layer.files).reduce((sum, [, size]) => sum + size, 0)
  const tar: Contender = {
    name: 'tar c',
    async prepare({ path }) {
      await mkdir(`${path}/tree`)
      for (const blob of layerFiles(image)) await output('tar', ['-xzpf', blob, '-C', `${path}/tree`])
    },
    command: ({ path }) => `tar -cf '${path}/out.tar' -C '${path}/tree' .`,
  }
  const ours = exporting(image, (path) => `tar:${path}/out.tar`)
  const made = await report(
    'tar',
    `Write the tree of ${describe(image)} to a tar, by wall time of tar c`,
    [tar, ours],
    options,
  )
  const wall = made.rows.find(([name]) => name === 'onefold')?.[3]
  const goals: Goal[] =
    wall === undefined ? [] : [{ what: 'seconds for 500 MB of tar', most: 1, got: (Number(wall) / bytes) * 500e6 }]
  return { ...made, goals }
}

async function built({ say }: Options): Promise<BuiltImage> {
  const [image] = await buildImages([app], say)
  if (image === undefined) throw new Error('no image was built')
  return image
}

async function report(
  bench: string,
  title: string,
  contenders: readonly Contender[],
  { rounds, say }: Options,
): Promise<Report> {
  const measured = await compare(contenders, { rounds, say })
  return {
    bench,
    title,
    goals: [],
    columns: ['', 'ratio', 'spread', 'wall s', 'user s', 'sys s', 'RSS MB', 'disk MB'],
    rows: measured.map(row),
    data: measured,
  }
}
