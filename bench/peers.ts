import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Apt } from './apt.ts'
import { type BuiltImage, layerFiles, layout } from './build.ts'
import { output, started } from './command.ts'
import { benchFolder } from './images.ts'
import type { LoopFs } from './loopfs.ts'
import type { Contender } from './measure.ts'

/** Take `image` from the OCI layout and store it, on a file system where `before` has been stored already. */
export interface Task {
  readonly image: BuiltImage
  readonly before?: BuiltImage | undefined
}

export type Peer = (task: Task) => Contender

const launcher = fileURLToPath(new URL('../bin/onefold', import.meta.url))

/** What anybody can do with the layers: files in a folder, nothing checked, nothing shared. */
export const tar: Peer = ({ image }) => ({
  name: 'tar xzf',
  command: ({ path }) =>
    [`mkdir '${path}/root'`, ...layerFiles(image).map((blob) => `tar -xzpf ${blob} -C '${path}/root'`)].join(' && '),
})

/** The floor of everything that uses one thread and zlib. */
export const gzip: Peer = ({ image }) => ({
  name: 'gzip -dc',
  command: () => `cat ${layerFiles(image).join(' ')} | gzip -dc >/dev/null`,
})

export const onefold: Peer = (task) =>
  storing('onefold', task, ({ path }, image) => `${launcher} --quiet --store '${path}/store' pull ${oci(image)}`)

export const podman: Peer = (task) =>
  storing('podman', task, ({ path }, image) => {
    const folders = `--root '${path}/root' --runroot '${path}/run' --tmpdir '${path}/tmp' --storage-driver overlay`
    return `podman ${folders} pull --quiet ${oci(image)}`
  })

export const umoci: Peer = (task) =>
  storing('umoci', task, ({ path }, image) => `umoci unpack --image ${layout}:${image.name} '${path}/${image.name}'`)

export const ostree: Peer = (task) =>
  storing(
    'ostree',
    task,
    ({ path }, image) =>
      layerFiles(image)
        .map((blob, index) => {
          const branch = `--branch=${image.name}/${index} --tree=tar=${blob} --tar-autocreate-parents`
          return `ostree --repo='${path}/repo' commit ${branch} >/dev/null`
        })
        .join(' && '),
    ({ path }) => shell(`ostree --repo='${path}/repo' init --mode=bare`),
  )

/** Debian's containerd with its overlayfs snapshotter; the daemon runs before the clock starts. */
export const containerd: Peer = (task) => {
  let stop = async (): Promise<void> => {}
  return {
    ...storing(
      'containerd overlayfs',
      task,
      ({ path }, image) => `${programs}/ctr --address '${path}/socket' image import ${archiveOf(image)}`,
      async (fs) => {
        await installContainerd()
        for (const image of [task.image, task.before]) if (image !== undefined) await writeArchive(image)
        stop = await startContainerd(fs)
      },
    ),
    finish: () => stop(),
  }
}

export const peers: readonly Peer[] = [podman, umoci, ostree, containerd]

function storing(
  name: string,
  { image, before }: Task,
  store: (fs: LoopFs, image: BuiltImage) => string,
  start?: (fs: LoopFs) => Promise<void>,
): Contender {
  return {
    name,
    prepare: async (fs) => {
      await start?.(fs)
      if (before !== undefined) await shell(`${store(fs, before)} && sync -f '${fs.path}'`)
    },
    command: (fs) => store(fs, image),
  }
}

function oci(image: BuiltImage): string {
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

async function startContainerd({ path }: LoopFs): Promise<() => Promise<void>> {
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
