import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { projectRoot } from '../docs/markdown.ts'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'
import { BareDebian, withBareDebian } from './bare-debian.ts'

/** The README's commands where nothing is prepared for them; npm's registry and Debian's archive have to be in reach. */
const skip =
  needsRoot ||
  needsPrograms('debootstrap', 'unshare', 'npm', 'git') ||
  (existsSync(join(projectRoot, '.git')) ? false : 'needs a checkout')

test("on a bare Debian 12, with its own Node and npm, the README's commands work", { skip }, (t) => {
  using place = scratch('bare')
  try {
    withBareDebian((system) => checkCommands(new BareDebian(system, place.path)))
  } catch (error) {
    const reason = unreachable(error)
    if (reason === undefined) throw error
    t.skip(reason)
  }
})

function checkCommands(machine: BareDebian): void {
  const installed = machine.run('npm ci')
  assert.deepEqual([installed.code, installed.err], [0, ''])

  // What the demo installs first.
  const bare = machine.run('bin/onefold --version')
  assert.equal(bare.code, 1)
  assert.match(bare.err, /libatomic.*\nhint: run "apt-get install libatomic1" as root/)
  const early = machine.run('npm run check')
  assert.match(early.err, /^hint: run "apt-get install libatomic1" as root$/m)

  const demo = machine.run('npm run demo')
  assert.equal(demo.code, 0, demo.err)
  assert.match(demo.out, /^hello from version 2 on Node v26\./m)

  // Tools whose programs are optional packages, of which npm on an old Node leaves some out.
  for (const tool of ['tsc --noEmit', 'oxlint --type-aware src/digest.ts', 'oxfmt --check src/digest.ts']) {
    const { code, out, err } = machine.run(`test/with-node ${tool}`)
    assert.equal(code, 0, `${tool}: ${out}${err}`)
  }
  const tests = machine.run('test/with-node node test/main.ts src/linux/libc.test.ts')
  assert.deepEqual([tests.code, tests.err], [0, ''])
  assert.match(tests.out, / passed, 0 failed, 0 skipped\n$/)
}

/** Why there is no network, if that is what an error says. */
function unreachable(error: unknown): string | undefined {
  const text = error instanceof Error ? `${error.message}${'stderr' in error ? String(error.stderr) : ''}` : ''
  const [line] =
    /^.*(Temporary failure|Could not resolve|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|Failed to fetch|Couldn't download).*$/m.exec(
      text,
    ) ?? []
  return line && `needs Debian's archive and npm's registry: ${line.trim()}`
}
