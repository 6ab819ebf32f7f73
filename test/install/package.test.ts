import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { file, makeImage } from '../fixtures/images.ts'
import { needsPrograms } from '../fixtures/needs.ts'
import { scratch } from '../fixtures/scratch.ts'

const project = fileURLToPath(new URL('../..', import.meta.url))

test(
  'the package as it is published works as a command and as a library',
  { skip: needsPrograms('npm', 'tar') },
  () => {
    using place = scratch('package')
    using image = makeImage({ layers: [[file('hello', 'from the package')]] })
    execFileSync('npm', ['run', 'pack', '--silent', '--', '--pack-destination', place.path], {
      cwd: project,
      stdio: 'ignore',
    })
    const home = place.at('consumer/node_modules')
    mkdirSync(`${home}/onefold`, { recursive: true })
    execFileSync('tar', [
      'xzf',
      place.at(readdirSync(place.path).find((name) => name.endsWith('.tgz')) ?? ''),
      '-C',
      `${home}/onefold`,
      '--strip-components=1',
    ])
    for (const name of ['koffi', '@koromix', `node-linux-${process.arch}`])
      symlinkSync(`${project}/node_modules/${name}`, `${home}/${name}`)

    const onefold = (...args: string[]): string =>
      execFileSync(`${home}/onefold/bin/onefold`, ['--store', place.at('store'), ...args], {
        encoding: 'utf8',
        stdio: 'pipe',
      })
    assert.equal(onefold('pull', image.name, '--name', 'app'), `${image.manifest.digest}\n`)
    assert.equal(onefold('cat', 'app', '/hello'), 'from the package')

    writeFileSync(
      place.at('consumer/list.mjs'),
      "import { openStore } from 'onefold'\nconsole.log((await openStore(process.argv[2])).list().map(({ name }) => name).join())\n",
    )
    const listed = execFileSync(process.execPath, [place.at('consumer/list.mjs'), place.at('store')], {
      encoding: 'utf8',
    })
    assert.equal(listed, 'app\n')
  },
)
