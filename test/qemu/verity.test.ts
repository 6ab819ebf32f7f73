import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { textFile } from '../../src/demo/programs.ts'
import { hostPlatform } from '../../src/formats/oci/platform.ts'
import { LayoutBuilder } from '../fixtures/images.ts'
import { needsPrograms } from '../fixtures/needs.ts'
import { writeRootDisk, writeVerityDisk } from './disks.ts'
import { writeInitrd } from './initrd.ts'
import { runMachine } from './machine.ts'
import { guestFiles } from './packages.ts'
import { scratch } from '../fixtures/scratch.ts'

/** Few kernels where tests run have fs-verity, so a machine with one is booted; it takes a minute or two. */
const skip =
  process.env['ONEFOLD_SKIP_QEMU'] === '1'
    ? 'ONEFOLD_SKIP_QEMU=1: fs-verity is not tested'
    : process.arch === 'x64'
      ? needsPrograms('qemu-system-x86_64', 'mke2fs', 'xz', 'apt-get', 'dpkg')
      : 'needs an x86-64 machine'

const secondsMax = 280

test('fs-verity, on a Debian kernel in QEMU', { skip, timeout: (secondsMax + 60) * 1000 }, async (t) => {
  const files = guestFiles()
  if (typeof files === 'string') return t.skip(files)
  using place = scratch('verity')
  const machine = {
    kernel: files.kernel,
    initrd: place.at('initrd'),
    disks: [place.at('root.img'), place.at('store.img')] as const,
  }
  writeInitrd(machine.initrd, files)
  writeMore(place.at('more'))
  writeRootDisk(machine.disks[0], place.at('root'), files, join(import.meta.dirname, './guest.ts'), place.at('more'))
  writeVerityDisk(machine.disks[1])
  const seen: string[] = []
  for await (const line of runMachine(machine, secondsMax)) {
    const report = JSON.parse(line) as { name: string; error: string | null } | { end: number }
    if ('end' in report) {
      assert.equal(seen.length, report.end)
      return
    }
    seen.push(report.name)
    await t.test(report.name, () => assert.equal(report.error, null, report.error ?? ''))
  }
  assert.fail(`the guest stopped after ${seen.at(-1) ?? 'it was booted'}`)
})

/** Two images, and what the files of the first hash to. */
function writeMore(folder: string): void {
  mkdirSync(folder)
  const layout = new LayoutBuilder(join(folder, 'layout'))
  const platform = hostPlatform()
  const contents = {
    small: 'a little more than the sixty-four bytes that would be kept in the image itself',
    precious: `${'filling '.repeat(2000)}the one and only precious thing${' filling'.repeat(2000)}`,
    // Two levels of hashes.
    large: Array.from({ length: 60_000 }, (_, i) => `line ${i}\n`).join(''),
    block: 'x'.repeat(4096),
  }
  const one = Object.entries(contents).map(([name, text]) => textFile(name, text, 1))
  layout.tag(layout.image({ layers: [one], platform }).manifest, 'one')
  const second = textFile('second', 'what only the second image has, long enough for an object of its own', 1)
  layout.tag(layout.image({ layers: [one, [second]], platform }).manifest, 'two')
  const sums = Object.entries(contents).map(([name, text]) => [name, createHash('sha256').update(text).digest('hex')])
  writeFileSync(join(folder, 'expected.json'), JSON.stringify(Object.fromEntries(sums)))
}
