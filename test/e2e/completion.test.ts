import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { commandTable } from '../../src/cli/commands.ts'
import { runOnefold } from '../fixtures/command.ts'
import { file, makeImage } from '../fixtures/images.ts'
import { needsPrograms } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

const bin = fileURLToPath(new URL('../../bin', import.meta.url))

/** What a shell makes of a line that ends where the cursor is. */
type Complete = (line: string) => string[]

describe('completion', () => {
  const folder = scratch('completion')
  const store = folder.at('store')
  before(() => {
    using image = makeImage({ layers: [[file('a', 'b')]] })
    for (const name of ['debian:12', 'debian:13', 'other', 'a b$(touch pwned)'])
      assert.equal(runOnefold(['--quiet', '--store', store, 'pull', image.name, '--name', name]).code, 0)
    mkdirSync(folder.at('work/folder'), { recursive: true })
    writeFileSync(folder.at('work/file'), '')
    for (const shell of ['bash', 'zsh', 'fish'] as const)
      writeFileSync(folder.at(shell), runOnefold(['completion', shell]).out)
  })
  after(() => folder[Symbol.dispose]())

  const shell = (program: string, args: readonly string[]): string[] => {
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}`, ONEFOLD_STORE: store, HOME: folder.at('work') }
    const out = execFileSync(program, args, { cwd: folder.at('work'), env, encoding: 'utf8' })
    return out.split('\n').filter((line) => line !== '')
  }

  const bash: Complete = (line) =>
    shell('bash', [
      '--norc',
      '-c',
      'source "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _onefold; printf "%s\\n" "${COMPREPLY[@]}"',
      'bash',
      folder.at('bash'),
      line,
    ])

  /** Its completion system needs a terminal; what the function hands to it does not. */
  const zsh: Complete = (line) =>
    shell('zsh', [
      '-f',
      '-c',
      [
        'compdef() {}; compset() {}; _files() { print -l -- "files $*" }',
        'compadd() { print -l -- ${(M)found:#${words[CURRENT]}*} }',
        'source "$1"; words=("${(@s: :)2}"); CURRENT=$#words; _onefold',
      ].join('\n'),
      'zsh',
      folder.at('zsh'),
      line,
    ])

  const fish: Complete = (line) =>
    shell('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', folder.at('fish'), line]).map(
      (found) => found.split('\t')[0] ?? '',
    )

  for (const [name, complete] of [
    ['bash', bash],
    ['zsh', zsh],
    ['fish', fish],
  ] as const)
    describe(name, { skip: needsPrograms(name) }, () => {
      test('completes commands', () => {
        assert.deepEqual(complete('onefold pu').toSorted(), ['pull', 'push'])
        const all = [...Object.keys(commandTable), 'help'].toSorted()
        assert.deepEqual(complete('onefold ').toSorted(), all)
        assert.deepEqual(complete('onefold no-such-command '), [])
      })

      test('completes options of the command and of all, once each', () => {
        assert.deepEqual(complete('onefold push --p').toSorted(), ['--platform', '--preserve-digests'])
        assert.deepEqual(complete('onefold push --platform x --p'), ['--preserve-digests'])
        assert.deepEqual(complete('onefold --sto'), ['--store'])
        assert.deepEqual(complete('onefold store --verity r'), ['require'])
      })

      test('completes formats where a format is wanted', () => {
        assert.deepEqual(complete('onefold convert --to tar+').toSorted(), ['tar+gzip', 'tar+zstd'])
        assert.deepEqual(complete('onefold index --format so'), ['soci'])
      })

      test('completes names of images where an image may stand', () => {
        const names = name === 'bash' ? ['12', '13'] : ['debian:12', 'debian:13']
        assert.deepEqual(complete('onefold --quiet push debian:'), names)
        assert.deepEqual(complete('onefold push --platform x o'), ['other'])
        assert.deepEqual(complete('onefold --store /nonexistent push o'), [])
        assert.deepEqual(complete('onefold run other o'), [])
        if (name === 'bash') assert.deepEqual(complete('onefold push a'), ['a\\ b\\$\\(touch\\ pwned\\)'])
      })

      test('completes paths where paths may stand', () => {
        const found = complete('onefold mount other fo')
        assert.deepEqual(found, [{ bash: 'folder', zsh: 'files -/', fish: 'folder/' }[name]])
        const file_ = complete('onefold pull --authfile fi')
        assert.deepEqual(file_, [{ bash: 'file', zsh: 'files ', fish: 'file' }[name]])
      })
    })

  test('of an unknown shell is refused', () => {
    const { code, err } = runOnefold(['completion', 'tcsh'])
    assert.equal(code, 2)
    assert.match(err, /completion takes bash, zsh or fish/)
  })

  test('tells programs the same', () => {
    const { out } = runOnefold(['--json', 'completion', 'words', '--', '--store', store, 'push', 'debian:12'])
    const { candidates, paths } = JSON.parse(out) as { candidates: { word: string; help: string }[]; paths: string }
    assert.deepEqual([candidates.map(({ word }) => word), paths], [['debian:12'], 'none'])
  })
})
