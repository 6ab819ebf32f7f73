import { OnefoldError } from '../../error.ts'
import type { Command } from '../command.ts'
import { exitCodes } from '../globals.ts'
import { imageOptions, obtainImage, openCallStore } from '../image.ts'
import { integrityOf, integrityOptions } from '../shared-options.ts'
import { ProgramError } from '../../run/runtime.ts'
import { usageUnless } from '../usage.ts'

export const run: Command = {
  operands: 'IMAGE [CMD …]',
  restAfter: 1,
  about: [
    'Runs a program in an image: its entrypoint and CMD as the image says, or what is given here. The container gets its own',
    'mounts, processes, host name and IPC, and shares the network of the machine. Terminal, signals and exit code are the',
    "program's. Changes are kept under the mount's id (see: onefold mounts --all) unless --rm is given.",
    'Running needs root, and crun or runc. An IMAGE that the store does not have is pulled first.',
    '',
    'Exit codes besides those of the program: 125 onefold or the runtime failed, 126 the program cannot be executed, 127 it',
    'is not in the image.',
  ].join('\n'),
  options: {
    interactive: { short: 'i', help: 'hand standard input on' },
    tty: { short: 't', help: 'give the program a terminal' },
    env: { short: 'e', value: 'NAME[=VALUE]', multiple: true, help: 'set a variable, or hand ours on' },
    volume: { short: 'v', value: 'SRC:DST[:ro]', multiple: true, help: 'show a file or directory of the machine' },
    workdir: { short: 'w', value: 'DIR', help: 'working directory' },
    user: { short: 'u', value: 'USER[:GROUP]', help: 'names are looked up in the image' },
    entrypoint: { value: 'PROGRAM', help: "instead of the image's entrypoint" },
    rm: { help: 'throw away what the program changes' },
    'read-only': { help: 'the program cannot change its files' },
    name: { value: 'NAME', help: 'name of the container, and its host name' },
    network: { value: 'host|none', help: "the machine's network (default), or only loopback" },
    runtime: { value: 'PROGRAM', help: 'OCI runtime (default: crun, else runc)' },
    ...integrityOptions,
    ...imageOptions,
  },
  examples: [
    { command: 'onefold run -it --rm alpine sh', meaning: 'a shell' },
    { command: 'onefold run --rm -v "$PWD:/src" -w /src node:26 npm test', meaning: 'a job on files of the machine' },
    { command: 'onefold run --rm -u nobody -e LANG=C debian:12 id', meaning: 'as another user' },
  ],
  async run(call) {
    const { operands, options } = call
    usageUnless(operands.length >= 1, 'run takes IMAGE and perhaps a command', 'run')
    const [name = '', ...args] = operands
    const { parseBind } = await import('../../run/bind.ts')
    // A slip on the command line is told before anything is pulled for it.
    const binds = options.texts('volume').map(parseBind)
    const network = networkOf(options.text('network'))
    const integrity = await integrityOf(options)
    const entrypoint = options.text('entrypoint')
    await using store = await openCallStore(call)
    const image = await obtainImage(call, store, name)
    const { run: runStored } = await import('../../library/running.ts')
    const { exitCode, kept, mount } = await runStored(store, image, {
      imageName: name,
      interactive: options.flag('interactive'),
      tty: options.flag('tty'),
      env: options.texts('env'),
      binds,
      workdir: options.text('workdir'),
      user: options.text('user'),
      rm: options.flag('rm'),
      readOnly: options.flag('read-only'),
      name: options.text('name'),
      network,
      ...integrity,
      runtime: options.text('runtime'),
      ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
      ...(args.length === 0 ? {} : { cmd: args }),
    })
    if (kept !== undefined) call.out.note(`changes are kept; mount them again with --upper ${mount}`)
    return exitCode
  },
  /**
   * Returns the exit code. As for podman and docker, what goes wrong before the program runs is told apart from what
   * the program says.
   */
  exitCode(error) {
    if (error instanceof ProgramError) return error.exitCode
    return error instanceof OnefoldError && error.code === 'USAGE' ? undefined : exitCodes.runFailed
  },
}

function networkOf(text: string | undefined): 'host' | 'none' | undefined {
  if (text === undefined || text === 'host' || text === 'none') return text
  throw new OnefoldError('USAGE', `Cannot use network ${JSON.stringify(text)}: expected host or none`)
}
