import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { makeImage } from '../../test/fixtures/images.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { openSource } from './open-source.ts'

test('a path without transport is answered with what it may be', async () => {
  using image = makeImage({ layers: [] })
  using folder = scratch('open')
  mkdirSync(folder.at('dir'))
  writeFileSync(folder.at('dir/manifest.json'), '')
  const tar = folder.at('x.tar')
  writeFileSync(tar, '')
  const hints: [path: string, hint: string][] = [
    [image.folder, `Did you mean oci:${image.folder}?`],
    [folder.at('dir'), `Did you mean dir:${folder.at('dir')}?`],
    [folder.path, `Did you mean rootfs:${folder.path}?`],
    [tar, `Did you mean docker-archive:${tar}, oci-archive:${tar} or tar:${tar}?`],
  ]
  for (const [path, hint] of hints) await assert.rejects(openSource(path), { code: 'BAD_NAME', hint })
  await assert.rejects(openSource('/nowhere'), { code: 'BAD_NAME', hint: /Say what lies there: oci:\/nowhere/ })
})

test('a name that is a path as well is a registry’s, with a hint when that does not answer', async (t) => {
  using folder = scratch('open')
  const before = process.cwd()
  t.after(() => process.chdir(before))
  process.chdir(folder.path)
  mkdirSync('localhost:1/tree', { recursive: true })
  await using source = await openSource('localhost:1/tree', { registry: { retry: { attempts: 1 } } })
  assert.equal(source.name, 'localhost:1/tree')
  await assert.rejects(source.resolve(), {
    code: 'NETWORK',
    hint: 'There is a local "localhost:1/tree"; to read that, write rootfs:localhost:1/tree.',
  })
  await using other = await openSource('localhost:1/other', { registry: { retry: { attempts: 1 } } })
  await assert.rejects(other.resolve(), (error: Error) => !/local "/.test(String('hint' in error && error.hint)))
})
