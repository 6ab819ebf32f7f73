import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Apt } from './apt.ts'
import { type BuiltImage, layerFiles, layout } from './build.ts'
import { output, started } from './command.ts'
import { benchFolder } from './images.ts'
import type { Contender } from './measure.ts'

/** A program that stores images from the OCI layout, in its usual way, below a folder of its own. */
export interface Peer {
  readonly name: string
  /** Shell commands that store the image. */
  readonly store: (folder: string, image: BuiltImage) => string
  /** Makes ready what storing needs; what it gives back stops that again. */
  readonly start?: (folder: string, images: readonly BuiltImage[]) => Promise<() => Promise<void>>
}

/** The measured command stores `image` where `before` has been stored already. */
export function contender({ name, store, start }: Peer, image: BuiltImage, before?: BuiltImage): Contender {
  let stop = async (): Promise<void> => {}
  return {
    name,
    prepare: async ({ path }) => {
      if (start !== undefined) stop = await start(path, before === undefined ? [image] : [image, before])
      if (before !== undefined) await shell(`${store(path, before)} && sync -f '${path}'`)
    },
    command: ({ path }) => store(path, image),
    finish: () => stop(),
  }
}

/** What anybody can do with the layers: files in a folder, nothing checked, nothing shared. */
export const tar: Peer = {
  name: 'tar xzf',
  store: (folder, image) =>
    [
      `mkdir '${folder}/${image.name}'`,
      ...layerFiles(image).map((blob) => `tar -xzpf ${blob} -C '${folder}/${image.name}'`),
    ].join(' && '),
}

/** The floor of everything that uses one thread and zlib. */
export const gzip: Peer = {
  name: 'gzip -dc',
  store: (_, image) => `cat ${layerFiles(image).join(' ')} | gzip -dc >/dev/null`,
}

export const launcher = fileURLToPath(new URL('../bin/onefold', import.meta.url))

export const onefold: Peer = {
  name: 'onefold',
  store: (folder, image) => `${launcher} --quiet --store '${folder}/store' pull ${oci(image)}`,
}

export const podman: Peer = {
  name: 'podman',
  store: (folder, image) => {
    const folders = `--root '${folder}/root' --runroot '${folder}/run' --tmpdir '${folder}/tmp'`
    return `podman ${folders} --storage-driver overlay pull --quiet ${oci(image)}`
  },
}

export const umoci: Peer = {
  name: 'umoci',
  store: (folder, image) => `umoci unpack --image ${layout}:${image.name} '${folder}/${image.name}'`,
}

export const ostree: Peer = {
  name: 'ostree',
  start: async (folder) => {
    await output('ostree', [`--repo=${folder}/repo`, 'init', '--mode=bare'])
    return async () => {}
  },
  store: (folder, image) =>
    layerFiles(image)
      .map((blob, index) => {
        const branch = `--branch=${image.name}/${index} --tree=tar=${blob} --tar-autocreate-parents`
        return `ostree --repo='${folder}/repo' commit ${branch} >/dev/null`
      })
      .join(' && '),
}

/** Debian's containerd with its overlayfs snapshotter; the daemon runs before the clock starts. */
export const containerd: Peer = {
  name: 'containerd overlayfs',
  start: async (folder, images) => {
    await installContainerd()
    for (const image of images) await writeArchive(image)
    return startContainerd(folder)
  },
  store: (folder, image) => `${programs}/ctr --address '${folder}/socket' image import ${archiveOf(image)}`,
}

export const peers: readonly Peer[] = [podman, umoci, ostree, containerd]

export function oci(image: BuiltImage): string {
  return `oci:${layout}:${image.name}`
}

async function shell(command: string): Promise<void> {
  await output('sh', ['-c', command])
}

const programs = join(benchFolder, 'peers/usr/bin')

async function installContainerd(): Promise<void> {
  if (existsSync(join(programs, 'ctr'))) return
  const apt = await Apt.open(join(benchFolder, 'apt/bookworm'), 'bookworm')
  const found = (await apt.closure(['containerd'])).filter(({ name }) => name === 'containerd')
  for (const deb of await apt.download(found)) await output('dpkg-deb', ['-x', deb, join(benchFolder, 'peers')])
}

function archiveOf(image: BuiltImage): string {
  return join(benchFolder, 'archives', `${image.name}.tar`)
}

/** `ctr image import` takes no layout, only an archive of one. */
async function writeArchive(image: BuiltImage): Promise<void> {
  if (existsSync(archiveOf(image))) return
  await mkdir(join(benchFolder, 'archives'), { recursive: true })
  await output('skopeo', ['copy', '--quiet', oci(image), `oci-archive:${archiveOf(image)}:bench/${image.name}:1`])
}

async function startContainerd(path: string): Promise<() => Promise<void>> {
  const settings = [
    'version = 2',
    `root = "${path}/containerd"`,
    `state = "${path}/state"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\naddress = "${path}/socket"`,
  ]
  await writeFile(join(path, 'config.toml'), settings.join('\n'))
  const { child, ended } = started(join(programs, 'containerd'), ['--config', join(path, 'config.toml')], {
    stdio: 'ignore',
  })
  await shell(
    `for i in $(seq 100); do ${programs}/ctr --address '${path}/socket' version >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1`,
  )
  return async () => {
    child.kill('SIGTERM')
    await ended
  }
}
