import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { writeConfig } from '../../src/formats/oci/image-config.ts'
import { writeManifest } from '../../src/formats/oci/manifest.ts'
import { type Ended, runOnefold } from '../fixtures/command.ts'
import { file, makeImage } from '../fixtures/images.ts'
import { needsOpenCheckout } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

/** What people read when something is wrong, and what programs read with --json. */

interface Wrong {
  readonly args: readonly string[]
  readonly code: number
  readonly message: RegExp
  readonly hint?: RegExp
}

const wrong: Readonly<Record<string, Wrong>> = {
  'no such command': {
    args: ['frob'],
    code: 2,
    message: /^Cannot run "frob": there is no such/,
    hint: /onefold --help/,
  },
  'no such image': { args: ['inspect', 'sha256:'.padEnd(71, '0')], code: 3, message: /the store has none/ },
  'a digest that is none': {
    args: ['pull', 'x', '--expect-image', 'abc'],
    code: 2,
    message: /^Cannot read image digest/,
  },
  'a seal that counts and does not': {
    args: ['pull', 'x', '--require-sealed', '--ignore-seal'],
    code: 2,
    message: /^Cannot require and ignore a seal/,
  },
  'a digest to mount by that names no image': {
    args: ['mount', 'x', '--digest', '0'.repeat(128)],
    code: 1,
    message: /^Cannot mount by a digest of sha512/,
  },
  'a setting that is none': { args: ['store', '--verity', 'maybe'], code: 2, message: /expected auto, require or off/ },
  'a setting and another': {
    args: ['store', '--verity', 'off', '--require-verity'],
    code: 2,
    message: /^Cannot use --verity "off"/,
  },
  'no such layout': { args: ['pull', 'oci:/nonexistent:a'], code: 3, message: /"\/nonexistent": there is no such/ },
  'no such directory': { args: ['pull', 'rootfs:/nonexistent'], code: 3, message: /there is no such/ },
  'a file as a tree': { args: ['pull', 'rootfs:/etc/passwd'], code: 1, message: /it is no directory/ },
  'a tree as a file': { args: ['pull', 'tar:/etc'], code: 1, message: /"\/etc": it is no regular file/ },
  'a typo in the transport': {
    args: ['pull', 'dcoker://x'],
    code: 2,
    message: /no transport "dcoker"/,
    hint: /docker:/,
  },
  'a URL': {
    args: ['pull', 'http://127.0.0.1:5000/app:1'],
    code: 2,
    message: /an image is no URL/,
    hint: /Did you mean "127\.0\.0\.1:5000\/app:1"\? .*--insecure/,
  },
  'upper case': { args: ['pull', 'host.example/App'], code: 2, message: /lower case/, hint: /"host\.example\/app"/ },
  'nobody at the port': { args: ['pull', '127.0.0.1:1/app'], code: 1, message: /refused the connection/, hint: /port/ },
  'no such host': { args: ['pull', 'host.invalid/app'], code: 1, message: /no host "host\.invalid"/ },
  'a platform that is none': {
    args: ['pull', '--platform', 'x', 'a'],
    code: 2,
    message: /OS\/ARCH/,
    hint: /linux\/amd64/,
  },
  'credentials that are not there': {
    args: ['pull', '--authfile', '/nonexistent', '127.0.0.1:1/app'],
    code: 3,
    message: /credentials from "\/nonexistent": there is no such file/,
  },
  'an authority that is not there': {
    args: ['pull', '--ca-file', '/nonexistent', '127.0.0.1:1/app'],
    code: 3,
    message: /"\/nonexistent": there is no such file/,
  },
  'an authority that is none': {
    args: ['pull', '--ca-file', '/etc/passwd', '127.0.0.1:1/app'],
    code: 1,
    message: /certificate "\/etc\/passwd": expected PEM/,
  },
  'help for no command': { args: ['help', 'frob'], code: 2, message: /^Cannot run "frob": there is no such/ },
  'a store without a name': { args: ['--store', '', 'images'], code: 2, message: /expected a directory after --store/ },
  'a value like an option': {
    args: ['pull', 'a', '--max-entries', '-5'],
    code: 2,
    message: /^Cannot read the command line: Option '--max-entries' argument is ambiguous$/,
  },
  'JSON of bytes': { args: ['--json', 'cat', 'a', 'b'], code: 2, message: /cat prints bytes as they are/ },
}

describe('what is wrong is said, with the exit code that fits', () => {
  for (const [what, { args, code, message, hint }] of Object.entries(wrong))
    test(what, () => {
      using place = scratch('errors')
      const more = { ONEFOLD_STORE: place.at('store') }
      const ended = runOnefold(['--json', ...args], { more })
      assert.deepEqual([ended.code, ended.out], [code, ''], ended.err)
      const error = errorOf(ended)
      assert.match(error.message, message)
      if (hint !== undefined) assert.match(error.hint ?? '', hint)
      assert.deepEqual(
        readdirSync(place.path).filter((name) => name !== 'store'),
        [],
      )
    })

  test('in sentences without --json', () => {
    using place = scratch('errors')
    const { code, out, err } = runOnefold(['pull', 'dcoker://x'], { more: { ONEFOLD_STORE: place.at('store') } })
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /^onefold: Cannot read source "dcoker:\/\/x": .*\n {2}Known are .*\n$/)
  })
})

test('a home that is not there is asked for', { skip: needsOpenCheckout }, () => {
  const nobody = runOnefold(['--json', 'images'], { env: {}, uid: 54_321 })
  assert.equal(nobody.code, 2)
  assert.match(errorOf(nobody).hint ?? '', /--store/)
})

test('what the file system refuses is no bug of ours, and is said in words', () => {
  const { code, err } = runOnefold(['version'], { env: {} })
  assert.deepEqual([code, err], [0, ''])
  using place = scratch('errors')
  writeFileSync(place.at('store'), 'a file')
  const ended = runOnefold(['--json', 'images', '--store', place.at('store')])
  assert.notEqual(ended.code, 0)
  assert.notEqual(errorOf(ended).code, 'INTERNAL')
})

test('nothing a stranger wrote steers the terminal', () => {
  using place = scratch('errors')
  using image = makeImage({ layers: [[file('x', 'y')]] })
  const platform = { os: 'linux\x1b[2J\u009b', architecture: 'amd64' }
  const config = image.layout.blob(image.config.mediaType, writeConfig({ platform, diffIds: image.diffIds }))
  image.layout.tag(
    image.layout.blob(image.manifest.mediaType, writeManifest({ config, layers: image.layers })),
    'evil\x1b[2J',
  )
  const store = ['--store', place.at('store')]
  const found: Ended[] = [
    runOnefold([...store, 'pull', `oci:${image.folder}:nope`]),
    runOnefold([...store, 'pull', `oci:${image.folder}:evil\x1b[2J`, '--name', 'evil', '--platform', 'linux/arm64']),
    runOnefold([...store, 'pull', `oci:${image.folder}:evil\x1b[2J`, '--name', 'evil']),
    runOnefold([...store, 'images']),
    runOnefold([...store, 'inspect', 'evil']),
    runOnefold([...store, '--json', 'inspect', 'evil']),
  ]
  for (const { out, err } of found) assert.doesNotMatch((out + err).replaceAll('\n', ''), /\p{Cc}/u)
})

test('every command that prints a result prints one JSON document', () => {
  using place = scratch('errors')
  using image = makeImage({ layers: [[file('x', 'y')]] })
  mkdirSync(place.at('cwd'))
  const store = place.at('store')
  const documents: readonly (readonly string[])[] = [
    ['pull', image.name, '--name', 'app'],
    ['images'],
    ['inspect', 'app'],
    ['inspect', '--tree', 'app'],
    ['inspect', '--config', 'app'],
    ['inspect', '--manifest', 'app'],
    ['ls', 'app'],
    ['ls', '-R', 'app'],
    ['ls', 'app', '/x'],
    ['diff', 'app', 'app'],
    ['digest', 'app'],
    ['digest', '--file', '/etc/passwd'],
    ['mounts', '--all'],
    ['tag', 'app', 'again'],
    ['rm', 'again'],
    ['gc', '--dry-run'],
    ['gc'],
    ['fsck'],
    ['version'],
  ]
  for (const args of documents) {
    const { code, out, err } = runOnefold(['--json', '--store', store, ...args], { cwd: place.at('cwd') })
    assert.equal(code, 0, err)
    assert.doesNotThrow(() => JSON.parse(out), `${args.join(' ')} printed ${out}`)
  }
})

/** The last line of stderr is the error, whatever progress came before. */
function errorOf({ err }: Ended): { code: string; message: string; hint: string | null } {
  const line = err.trimEnd().split('\n').at(-1) ?? ''
  return (JSON.parse(line) as { error: { code: string; message: string; hint: string | null } }).error
}
