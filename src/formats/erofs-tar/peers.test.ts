import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyLayer } from '../../../test/fixtures/any-layer.ts'
import { tarOf } from '../../../test/fixtures/images.ts'
import { indexOf } from '../../../test/fixtures/index-layers.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'

/** The first version that writes attributes in one order, whatever the order in the tar. */
const needed = [1, 9, 3] as const

function needsMkfs(): false | string {
  const missing = needsPrograms('mkfs.erofs')
  if (missing !== false) return missing
  const { stdout } = spawnSync('mkfs.erofs', ['--version'], { encoding: 'utf8' })
  const found = (/\d+\.\d+(?:\.\d+)?/.exec(stdout)?.[0] ?? '0').split('.').map(Number)
  const isEnough = compare(found, needed) >= 0
  return isEnough ? false : `needs mkfs.erofs ${needed.join('.')}, which can index tars`
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = b.findIndex((part, i) => part !== a[i])
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0)
}

test('mkfs.erofs writes the same index', { skip: needsMkfs() }, () => {
  using folder = scratch('mkfs')
  const [tarFile, indexFile] = [folder.at('tar'), folder.at('index')]
  const options = ['--quiet', '--tar=i', '--aufs', '-T0', '--mkfs-time', '-U', '00000000-0000-0000-0000-000000000000']
  for (const layer of fc.sample(anyLayer({ explicit: false, mountable: false }), { numRuns: 100, seed: 5 })) {
    // An opaque root is nothing to it, though overlayfs knows it.
    const tar = tarOf(layer.filter(({ entry }) => entry.path !== '.wh..wh..opq'))
    writeFileSync(tarFile, tar)
    execFileSync('mkfs.erofs', [...options, indexFile, tarFile], { stdio: 'pipe' })
    assert.ok(readFileSync(indexFile).equals(indexOf(tar).bytes))
  }
})
