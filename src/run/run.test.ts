import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import type { RunConfig } from '../formats/oci/image-config.ts'
import { S_IFREG } from '../formats/tree.ts'
import { readMounts } from '../linux/mountinfo.ts'
import { type ImageStore, directory, file, imageStore, symlink } from '../../test/fixtures/mount-store.ts'
import { needsPrograms, needsRoot } from '../../test/fixtures/needs.ts'
import { programTree } from '../../test/fixtures/program-image.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { knownRuntimes } from './runtime.ts'

const config: RunConfig = {
  user: '',
  env: ['GREETING=hello'],
  entrypoint: ['/bin/sh', '-c'],
  cmd: ['echo $GREETING from $(pwd)'],
  workingDir: '/made/for/it',
  stopSignal: 'SIGUSR1',
  volumes: [],
  exposedPorts: [],
  labels: {},
  argsEscaped: false,
}

/** Runs runImage or chrootRun in a process of its own, as a command would, so that streams and signals are real. */
function start(store: ImageStore, image: string, options: object, call = runCall): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', programOf(store, image, options, call)])
}

function programOf(store: ImageStore, image: string, options: object, call = runCall): string {
  return `
    const store = ${JSON.stringify({ root: store.root, objectsPath: store.objectsPath })}
    store.imagePath = (digest) => store.root + '/images/' + digest + '.erofs'
    const [image, config, options] = ${JSON.stringify([image, config, options])}
    const here = ${JSON.stringify(import.meta.url)}
    try {
      ${call}
    } catch (error) {
      console.log(error.message)
      process.exitCode = error.exitCode ?? 125
    }`
}

const runCall = `
      const { runImage } = await import(new URL('run.ts', here))
      const result = await runImage(store, image, config, options)
      if (options.report) console.log(JSON.stringify(result))
      process.exitCode = result.exitCode`
const abortCall = `
      const { runImage } = await import(new URL('run.ts', here))
      const controller = new AbortController()
      process.stdin.once('data', () => controller.abort())
      const { exitCode } = await runImage(store, image, config, { ...options, signal: controller.signal })
      process.exitCode = exitCode`
const chrootCall = `
      const { chrootRun } = await import(new URL('chroot.ts', here))
      const { mountImage } = await import(new URL('../mount/mount-image.ts', here))
      const { unmountImage } = await import(new URL('../mount/unmount.ts', here))
      const mount = mountImage(store, image, { rw: true })
      try {
        process.exitCode = await chrootRun(mount.target, config, options)
      } finally {
        unmountImage(store, mount.id, { discard: true })
      }`

interface Outcome {
  readonly out: string
  readonly err: string
  readonly code: number | null
}

/** `onOutput` is called with everything the program wrote so far. */
async function outcome(child: ChildProcess, onOutput?: (out: string) => void): Promise<Outcome> {
  let [out, err] = ['', '']
  child.stdout?.on('data', (data: Buffer) => {
    out += data.toString()
    onOutput?.(out)
  })
  child.stderr?.on('data', (data: Buffer) => (err += data.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { out, err, code }
}

function programs(store: ImageStore): string {
  const tree = programTree(
    store,
    ['/bin/sh', '/bin/cat', '/usr/bin/id', '/bin/sleep', '/bin/kill', '/bin/ls', '/bin/stty'],
    {
      etc: directory({
        passwd: file(store.content('root:x:0:0::/root:\napp:x:1000:1001::/home/app:\n')),
        group: file(store.content('root:x:0:\nextra:x:33:app\n')),
        'resolv.conf': symlink('../run/elsewhere'),
      }),
      plain: file(store.content('no program')),
      script: file(store.content('#!/no/such/interpreter\n'), { mode: S_IFREG | 0o755 }),
      proc: directory({}),
      dev: directory({}),
    },
  )
  return store.add(tree)
}

/** Everything a run could leave behind. */
function traces(store: ImageStore): unknown {
  const mounts = readMounts().filter((mount) => mount.target.startsWith(store.root))
  return { mounts, kept: fs.existsSync(`${store.root}/mounts`) ? fs.readdirSync(`${store.root}/mounts`) : [] }
}

for (const runtime of [...knownRuntimes, 'chroot'] as const) {
  const call = runtime === 'chroot' ? chrootCall : runCall
  const skip = needsRoot || needsPrograms(...(runtime === 'chroot' ? ['ldd'] : ['ldd', runtime]))
  describe(`programs run by ${runtime}`, { skip }, () => {
    const options = { rm: true, runtime }
    const run = async (more: object): Promise<Outcome> => {
      using folder = scratch('run')
      const store = imageStore(folder.at('store'))
      const result = await outcome(start(store, programs(store), { ...options, ...more }, call))
      assert.deepEqual(traces(store), { mounts: [], kept: [] })
      return result
    }

    test("the image's command, environment and working directory", async () => {
      assert.deepEqual(await run({}), { out: 'hello from /made/for/it\n', err: '', code: 0 })
    })

    test('its exit code, and that of a signal', async () => {
      assert.equal((await run({ cmd: ['exit 7'] })).code, 7)
      assert.equal((await run({ entrypoint: ['/bin/sh', '-c', "sh -c 'kill -9 $$'; exit $?"] })).code, 137)
    })

    test('another user, with the groups the image gives it', async () => {
      assert.equal(
        (await run({ user: 'app', cmd: ['id; echo $HOME'] })).out,
        'uid=1000(app) gid=1001 groups=1001,33(extra)\n/home/app\n',
      )
      assert.equal((await run({ user: '12:34', cmd: ['id'] })).out, 'uid=12 gid=34 groups=34\n')
      const nobody = await run({ user: 'nobody' })
      assert.deepEqual(
        [nobody.code, nobody.out],
        [125, 'Cannot run as "nobody": the image\'s /etc/passwd has no user "nobody"\n'],
      )
    })

    test('127 when the program is not there, 126 when it is none', async () => {
      assert.equal((await run({ entrypoint: ['/no/such/program'] })).code, 127)
      assert.equal((await run({ entrypoint: ['no-such-program'] })).code, 127)
      assert.equal((await run({ entrypoint: ['/plain'] })).code, 126)
      const script = await run({ entrypoint: ['/script'] })
      assert.deepEqual(
        [script.code, script.out],
        [127, 'Cannot run "/script": its interpreter "/no/such/interpreter" is not in the image\n'],
      )
    })

    test('signals reach the program; SIGTERM as the stop signal of the image', async () => {
      using folder = scratch('run')
      const store = imageStore(folder.at('store'))
      const script = 'trap "echo stop; exit 3" USR1; trap "echo hangup" HUP; echo ready; while :; do sleep 0.05; done'
      const child = start(store, programs(store), { ...options, cmd: [script] }, call)
      const { out, code } = await outcome(child, (seen) => {
        if (seen === 'ready\n') child.kill('SIGHUP')
        if (seen === 'ready\nhangup\n') child.kill('SIGTERM')
      })
      assert.equal(code, 3)
      assert.equal(out, 'ready\nhangup\nstop\n')
      assert.deepEqual(traces(store), { mounts: [], kept: [] })
    })
  })
}

describe('containers', { skip: needsRoot || needsPrograms('ldd', 'crun') }, () => {
  const options = { rm: true, runtime: 'crun' }

  test("standard input is the program's with interactive, and empty without", async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const image = programs(store)
    for (const interactive of [true, false]) {
      const child = start(store, image, { ...options, interactive, cmd: ['cat'] })
      child.stdin?.end('typed\n')
      assert.deepEqual(await outcome(child), { out: interactive ? 'typed\n' : '', err: '', code: 0 })
    }
  })

  test('binds: what is bound is seen, and only what may be is written', async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    fs.mkdirSync(folder.at('shared'))
    const binds = [
      { source: folder.at('shared'), destination: '/rw', readOnly: false },
      { source: folder.at('shared'), destination: '/deep/ro', readOnly: true },
    ]
    const child = start(store, programs(store), {
      ...options,
      binds,
      cmd: ['echo x > /rw/f; cat /deep/ro/f; echo y > /deep/ro/f'],
    })
    const { out, err, code } = await outcome(child)
    assert.deepEqual([out, code], ['x\n', 2])
    assert.match(err, /Read-only file system/)
    assert.equal(fs.readFileSync(folder.at('shared', 'f'), 'utf8'), 'x\n')
  })

  test('isolation: its own processes and host name, few capabilities, no network when none is asked for', async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const image = programs(store)
    const cmd = [
      'echo $$; cat /proc/sys/kernel/hostname; while read a b; do [ $a = CapEff: ] && echo $b; done < /proc/self/status; cat /etc/hosts; ls /sys/class/net',
    ]
    const hosts = fs.readFileSync('/etc/hosts', 'utf8')
    const { out } = await outcome(start(store, image, { ...options, name: 'box', network: 'none', cmd }))
    assert.equal(out, `1\nbox\n00000000800405fb\n${hosts}lo\n`)
  })

  test('a read-only container cannot change its image', async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const { err, code } = await outcome(
      start(store, programs(store), { ...options, readOnly: true, cmd: ['echo x > /f'] }),
    )
    assert.equal(code, 2)
    assert.match(err, /Read-only file system/)
  })

  test('without rm the changes are kept, and said to be', async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const child = start(store, programs(store), { runtime: 'crun', report: true, cmd: ['echo x > /new; exit 4'] })
    const { out, code } = await outcome(child)
    const { kept, mount, ...rest } = JSON.parse(out) as { kept: string; mount: string }
    assert.deepEqual(rest, { exitCode: 4, runtime: 'crun' })
    assert.equal(code, 4)
    assert.equal(kept, `${store.root}/mounts/${mount}/upper`)
    assert.equal(fs.readFileSync(`${kept}/new`, 'utf8'), 'x\n')
  })

  test('a program that was never started leaves nothing to keep', async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const image = programs(store)
    const binds = [{ source: folder.at('missing'), destination: '/x', readOnly: true }]
    const failing: readonly [more: object, code: number][] = [
      [{ entrypoint: ['no-such-program'] }, 127],
      [{ entrypoint: ['/plain'] }, 126],
      [{ user: 'nobody' }, 125],
      [{ workdir: '/plain/x' }, 125],
      [{ binds }, 125],
    ]
    for (const [more, want] of failing) {
      const { code, out } = await outcome(start(store, image, { runtime: 'crun', ...more }))
      assert.equal(code, want, out)
      assert.deepEqual(traces(store), { mounts: [], kept: [] })
    }
  })

  test('an abort ends the program with its stop signal, and one that ignores it all the same', async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const image = programs(store)
    const scripts = [
      ['trap "exit 3" USR1; echo ready; while :; do sleep 0.05; done', 3],
      ['trap "" USR1; echo ready; while :; do sleep 0.05; done', 137],
    ] as const
    for (const [script, want] of scripts) {
      const child = start(store, image, { ...options, stopTimeout: 0.3, cmd: [script] }, abortCall)
      const { code } = await outcome(child, () => child.stdin?.end('stop\n'))
      assert.equal(code, want)
      assert.deepEqual(traces(store), { mounts: [], kept: [] })
    }
  })

  test('a terminal is one inside, too: its size, its keys', { skip: needsPrograms('script') }, async () => {
    using folder = scratch('run')
    const store = imageStore(folder.at('store'))
    const script = 'trap "echo interrupted; exit 5" INT; stty size; while :; do sleep 0.05; done'
    const program = programOf(store, programs(store), { ...options, tty: true, interactive: true, cmd: [script] })
    fs.writeFileSync(folder.at('main.mjs'), program)
    const command = `stty rows 33 cols 77; exec ${process.execPath} ${folder.at('main.mjs')}`
    const terminal = spawn('script', ['-qec', command, '/dev/null'])
    const { out, code } = await outcome(terminal, (seen) => {
      if (seen === '33 77\r\n') terminal.stdin.write('\x03')
    })
    assert.deepEqual([out, code], ['33 77\r\n^Cinterrupted\r\n', 5])
  })
})
