import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import fc from 'fast-check'
import { commit } from '../../src/library/committing.ts'
import { mount, unmount } from '../../src/library/mounting.ts'
import { readTree } from '../../src/library/reading.ts'
import type { Directory } from '../../src/formats/tree.ts'
import type { Store } from '../../src/store/store.ts'
import { exportImage } from '../../src/transfer/send/export-image.ts'
import { type Step, baseStore, differences, quiet, step, tryStep } from '../fixtures/mount-changes.ts'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { readTree as readFolder } from '../fixtures/overlayfs.ts'
import { scratch } from '../fixtures/scratch.ts'

export const needs = needsRoot

/** Of one mount. */
const stepsMax = 40

/** Changes a mount: the image that a commit makes is what it showed. A round is a change. */
export async function fuzzCommit(seed: number, rounds: number): Promise<void> {
  using place = scratch('commit')
  await using store = await baseStore(place)
  let mounts = 0
  const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: stepsMax }), async (steps) => {
    const unpacked = mounts++ % 4 === 0 ? place.at(`out${mounts}`) : undefined
    await commitChanges(store, steps, unpacked)
  })
  await fc.assert(property, { seed, numRuns: Math.ceil((2 * rounds) / stepsMax), endOnFailure: true })
}

async function commitChanges(store: Store, steps: readonly Step[], unpacked: string | undefined): Promise<void> {
  const { id, target } = await mount(store, 'base', { rw: true })
  try {
    for (const each of steps) tryStep(each, target)
    const shown = readFolder(target)
    await commit(store, id, 'new', quiet)
    const tree = await readTree(store, 'new')
    assert.deepEqual(differences(tree, shown), [])
    if (unpacked !== undefined) await assertUnpacksAlike(store, unpacked, tree)
  } finally {
    unmount(store, id, { discard: true })
  }
}

async function assertUnpacksAlike(store: Store, folder: string, tree: Directory): Promise<void> {
  if (needsPrograms('umoci') !== false) return
  await exportImage(store, 'new', `oci:${folder}:x`)
  execFileSync('umoci', ['raw', 'unpack', '--image', `${folder}:x`, `${folder}/rootfs`], { stdio: 'pipe' })
  assert.deepEqual(differences(readFolder(`${folder}/rootfs`), tree), [])
  fs.rmSync(folder, { recursive: true })
}
