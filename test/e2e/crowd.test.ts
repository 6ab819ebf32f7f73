import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { onefold, runOnefold } from '../fixtures/command.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { twoImages } from '../fixtures/two-images.ts'

/** Many commands at once on one store, and mounts beside them. */

interface Outcome {
  readonly code: number | null
  readonly err: string
}

/** Runs a command beside others. */
async function startOnefold(args: readonly string[]): Promise<Outcome> {
  const child = spawn(onefold, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, err }
}

/** Runs a command that may have to give way: false when another collection or check is at it, and says so. */
async function takeTurn(store: readonly string[], command: Command): Promise<boolean> {
  const { code, err } = await startOnefold([...store, ...command])
  if (code === 0) return true
  const givesWay = ['gc', 'fsck'].includes(command[0] ?? '')
  assert.ok(givesWay && code === 1 && /is at it/.test(err), `${command.join(' ')}: ${code} ${err}`)
  return false
}

type Command = readonly string[]

/** Every member repeats its commands, beside the others, until each of them has had `rounds` in which all went through. */
async function runCrowd(
  members: readonly (readonly Command[])[],
  rounds: number,
  run: (command: Command) => Promise<boolean>,
): Promise<void> {
  const done = members.map(() => 0)
  let isOver = false
  const repeat = async (commands: readonly Command[], member: number): Promise<void> => {
    while (!isOver) {
      let through = true
      for (const command of commands) through = (await run(command)) && through
      if (through) done[member]!++
      isOver ||= done.every((count) => count >= rounds)
    }
  }
  const ends = members.map((commands, member) => repeat(commands, member).finally(() => void (isOver = true)))
  await Promise.allSettled(ends)
  await Promise.all(ends)
}

describe('many at once', () => {
  test('pulls, removals, tags, collections and checks leave a store without damage, and everything named in it', async () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--quiet', '--store', place.at('store')]
    const pull = (image: string, name: string): Command => [
      'pull',
      `oci:${place.at('layout')}:${image}`,
      '--name',
      name,
    ]
    await startOnefold([...store, ...pull('a', 'kept')])
    const crowd: readonly (readonly Command[])[] = [
      [pull('a', 'one')],
      [pull('a', 'one'), ['rm', '--ignore', 'one', 'two']],
      [pull('b', 'two')],
      [['gc']],
      [
        ['tag', 'kept', 'again'],
        ['tag', 'kept', 'again'],
        ['rm', 'again'],
      ],
      [['fsck'], ['ls', 'kept']],
    ]
    await runCrowd(crowd, 4, (command) => takeTurn(store, command))
    assert.equal(runOnefold([...store, 'fsck', '--rebuild']).code, 0)
    assert.equal(runOnefold([...store, 'cat', 'kept', 'a/f299']).out, Buffer.alloc(1299, 'a 299 ').toString())
    assert.deepEqual(fs.readdirSync(place.at('store/tmp')), [])
  })

  test('mounts go on beside collections', { skip: needsRoot }, async () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--quiet', '--store', place.at('store')]
    const pull = ['pull', `oci:${place.at('layout')}:a`, '--name', 'app']
    await startOnefold([...store, ...pull])
    const target = place.at('target')
    assert.equal((await startOnefold([...store, 'mount', 'app', target])).code, 0)
    await startOnefold([...store, 'rm', 'app'])
    await Promise.all([startOnefold([...store, 'gc']), startOnefold([...store, 'gc'])])
    assert.equal(fs.readFileSync(`${target}/a/f7`, 'utf8'), Buffer.alloc(1007, 'a 7 ').toString())
    assert.equal(runOnefold([...store, 'umount', target]).code, 0)
    assert.equal(runOnefold([...store, 'umount', target]).code, 3)
    assert.match(runOnefold([...store, 'gc']).out, / 600 objects/)
  })

  test('a mount that somebody else took away is told, and tidied up', { skip: needsRoot }, () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const store = ['--quiet', '--store', place.at('store')]
    const mount = [...store, 'mount', `oci:${place.at('layout')}:a`, place.at('target')]
    const states = (): string[] =>
      (JSON.parse(runOnefold([...store, '--json', 'mounts', '--all']).out) as { state: string }[]).map(
        ({ state }) => state,
      )
    assert.equal(runOnefold(mount).code, 0)
    assert.deepEqual(states(), ['mounted'])
    execFileSync('umount', [place.at('target')])
    assert.deepEqual(states(), ['gone'])
    assert.equal(runOnefold([...store, 'gc']).code, 0)
    assert.deepEqual(states(), [])
    assert.equal(runOnefold(mount).code, 0)
    const busy = fs.openSync(place.at('target/a/f1'), 'r')
    const { code, err } = runOnefold([...store, 'umount', place.at('target')])
    assert.equal(code, 1)
    assert.match(err, /in use\n {2}.*fuser.*--lazy/)
    fs.closeSync(busy)
    assert.equal(runOnefold([...store, 'umount', place.at('target')]).code, 0)
  })
})
