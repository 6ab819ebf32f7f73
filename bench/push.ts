import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildImages } from './build.ts'
import { output, started } from './command.ts'
import { app } from './images.ts'
import { type Contender, compare } from './measure.ts'
import { launcher, oci } from './peers.ts'
import { plainCopy } from './plain.ts'
import { type Options, describe, row } from './pull.ts'
import type { Report } from './report.ts'

/**
 * Puts an image into a docker-registry on this machine. Nobody has the layers compressed: skopeo reads them as tars from
 * a folder, onefold builds them from its store. `again` pushes what it has pushed before, under another name.
 */
export async function pushing({ rounds, say, only }: Options): Promise<Report> {
  const [image] = await buildImages([app], say)
  if (image === undefined) throw new Error('no image was built')
  const plain = await plainCopy(image)
  const onefold = (store: string): string => `${launcher} --quiet --store '${store}/store'`
  const skopeo = (registry: string): string =>
    `skopeo copy --quiet --dest-tls-verify=false dir:${plain} docker://${registry}/app:1`
  const filled = async (path: string): Promise<void> => {
    await output('sh', ['-c', `${onefold(path)} pull ${oci(image)} --name app >/dev/null`])
  }
  const contenders: Contender[] = [
    withRegistry(
      'skopeo',
      (_, registry) => skopeo(registry),
      async () => {},
    ),
    withRegistry('onefold', (path, registry) => `${onefold(path)} push app ${registry}/app:1`, filled),
    withRegistry(
      'onefold again',
      (path, registry) => `${onefold(path)} push app ${registry}/app:2`,
      async (path, registry) => {
        await filled(path)
        await output('sh', ['-c', `${onefold(path)} push app ${registry}/app:1 >/dev/null`])
      },
    ),
  ]
  const chosen = contenders.filter(
    ({ name }, i) => i === 0 || only === undefined || only.some((start) => name.startsWith(start)),
  )
  const measured = await compare(chosen, { rounds, say })
  const ours = measured.find(({ name }) => name === 'onefold')
  return {
    bench: 'push',
    title: `Push ${describe(image)}, compressing it, to a registry on this machine, by wall time of skopeo`,
    goals: ours === undefined ? [] : [{ what: 'onefold by skopeo', most: 0.6, got: ours.ratio }],
    columns: ['', 'ratio', 'spread', 'wall s', 'user s', 'sys s', 'RSS MB', 'disk MB'],
    rows: measured.map(row),
    data: measured,
  }
}

function withRegistry(
  name: string,
  command: (path: string, registry: string) => string,
  prepare: (path: string, registry: string) => Promise<void>,
): Contender {
  let registry = { host: '', stop: async (): Promise<void> => {} }
  return {
    name,
    async prepare({ path }) {
      registry = await startRegistry(path)
      await prepare(path, registry.host)
    },
    command: ({ path }) => command(path, registry.host),
    finish: () => registry.stop(),
  }
}

async function startRegistry(path: string): Promise<{ host: string; stop: () => Promise<void> }> {
  const host = `127.0.0.1:${await freePort()}`
  const settings = `version: 0.1\nstorage: {filesystem: {rootdirectory: ${path}/registry}}\nhttp: {addr: '${host}'}\n`
  await writeFile(join(path, 'registry.yml'), settings)
  const { child, ended } = started('docker-registry', ['serve', join(path, 'registry.yml')], { stdio: 'ignore' })
  const over = ended.catch(() => undefined)
  await answering(`http://${host}/v2/`)
  return {
    host,
    stop: async () => {
      child.kill('SIGTERM')
      await over
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port was found')
  return address.port
}

async function answering(url: string): Promise<void> {
  for (let tries = 1; ; tries++)
    try {
      await (await fetch(url)).arrayBuffer()
      return
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    }
}
