import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Target, findTargets, runTarget } from './targets.ts'

const main = join(import.meta.dirname, 'main.ts')

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

test('every parser of bytes from outside has a fuzz loop, and its quick form is part of the tests', async () => {
  const targets = await findTargets()
  const parsers = [
    'tar',
    'gzip',
    'zstd',
    'toc',
    'erofs',
    'manifest',
    'reference',
    'recipe',
    'dump',
    'tree',
    'store-files',
  ]
  for (const module of parsers)
    assert.ok(
      targets.some((target) => target.module === module),
      `nothing fuzzes ${module}`,
    )
  const root = join(import.meta.dirname, '../..')
  const tests = globSync('{src,test}/**/*.test.ts', { cwd: root })
    .map((path) => readFileSync(join(root, path), 'utf8'))
    .join('\n')
  for (const { name } of targets) assert.match(tests, new RegExp(`\\b${name}\\(\\d`), `no test calls ${name}`)
})

test('a failure comes back from the seed and the rounds in its report', async () => {
  const calls: [seed: number, rounds: number][] = []
  const fuzz = (seed: number, rounds: number): void => {
    calls.push([seed, rounds])
    if (seed === 7) throw new Error('found')
  }
  const target: Target = { name: 'fuzzNothing', module: 'nothing', fuzz, skip: undefined }
  const batches: [number, number][] = []
  const options = { seconds: undefined, onBatch: (seed: number, rounds: number) => void batches.push([seed, rounds]) }
  const failed = await runTarget(target, { seed: 5, rounds: 1000, ...options })
  assert.deepEqual(failed, { rounds: 400, failure: { seed: 7, rounds: 200, error: new Error('found') } })
  assert.deepEqual(batches, [
    [5, 0],
    [6, 200],
    [7, 400],
  ])
  const { failure } = await runTarget(target, { seed: 7, rounds: 200, ...options })
  assert.equal(failure?.seed, 7)
  calls.length = 0
  assert.deepEqual(await runTarget(target, { seed: 8, rounds: 250, ...options }), { rounds: 250, failure: undefined })
  assert.deepEqual(calls, [
    [8, 200],
    [9, 50],
  ])
})

test('the command lists, runs and refuses', () => {
  assert.match(run('--list').out, /^fuzzTar {2}\(tar\)$/m)
  assert.deepEqual(run('reference', 'fuzzMountinfo', '--rounds', '10', '--seed', '3'), {
    code: 0,
    out: 'seed 3\nfuzzMountinfo: ok after 10 rounds\nfuzzReference: ok after 10 rounds\n',
    err: '',
  })
  assert.equal(run('frobnicate').err, 'Cannot fuzz: there is no frobnicate; --list shows what there is\n')
  for (const wrong of [['--rounds', 'x'], ['--rounds', '0'], ['--seed', '1.5'], ['--frobnicate']])
    assert.equal(run(...wrong).code, 2, wrong.join(' '))
})
