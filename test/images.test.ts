import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { directory, file, hardlink, makeImage, opaque, symlink, tarOf, whiteout } from './images.ts'
import { needsPrograms } from './needs.ts'

const layers = [
  [directory('etc'), file('etc/motd', 'hello\n'), symlink('motd', 'etc/motd'), hardlink('etc/issue', 'etc/motd')],
  [whiteout('etc/issue'), opaque('var'), file('var/empty')],
]

test('makeImage() makes the same image every time, and removes it', () => {
  let folder: string
  {
    using one = makeImage({ layers, run: { cmd: ['sh'] } })
    using two = makeImage({ layers, run: { cmd: ['sh'] } })
    assert.deepEqual(one.manifest, two.manifest)
    folder = one.folder
    assert.ok(existsSync(one.layout.pathOf(one.config.digest)))
  }
  assert.ok(!existsSync(folder))
})

test('tar reads what tarOf() writes', { skip: needsPrograms('tar') }, () => {
  const names = execFileSync('tar', ['t'], { input: tarOf(layers.flat()) })
    .toString()
    .trim()
    .split('\n')
  assert.deepEqual(names, ['etc/', 'etc/motd', 'motd', 'etc/issue', 'etc/.wh.issue', 'var/.wh..wh..opq', 'var/empty'])
})

test('skopeo reads what makeImage() writes', { skip: needsPrograms('skopeo') }, () => {
  for (const compress of ['none', 'gzip', 'zstd'] as const) {
    using image = makeImage({ layers, compress, run: { env: ['A=1'] } })
    const shown = execFileSync('skopeo', ['inspect', '--raw', image.name]).toString()
    assert.deepEqual(JSON.parse(shown).layers, image.layers)
  }
})
