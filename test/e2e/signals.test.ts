import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { onefold } from '../fixtures/command.ts'
import { LayoutBuilder, file } from '../fixtures/images.ts'
import { scratch } from '../fixtures/scratch.ts'
import { twoImages } from '../fixtures/two-images.ts'
import { noise } from '../servers/registry.ts'

describe('signals and streams', () => {
  const layers = [1, 2, 3].map((n) =>
    Array.from({ length: 40 }, (_, i) => file(`${n}/${i}`, noise(500_000, n * 100 + i))),
  )

  test('a pull that is interrupted ends with 130, says little and leaves nothing', async () => {
    using place = scratch('processes')
    const layout = new LayoutBuilder(place.at('layout'))
    layout.tag(layout.image({ layers }).manifest, 'big')
    const tmp = place.at('store/tmp')
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const args = ['--quiet', '--store', place.at('store'), 'pull', `oci:${layout.folder}:big`]
      const child = spawn(onefold, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      let err = ''
      child.stderr.on('data', (data: Buffer) => (err += data.toString()))
      // The first objects are staged: it is in the middle of its work.
      while (!isStaging(tmp) && child.exitCode === null) await sleep(5)
      child.kill(signal)
      const [code] = (await once(child, 'close')) as [number | null]
      assert.deepEqual([code, err], [130, 'onefold: interrupted\n'])
      assert.deepEqual([fs.readdirSync(tmp), fs.readdirSync(place.at('store/refs'))], [[], []])
    }
  })

  test('nobody has to read what it says', () => {
    using place = scratch('processes')
    twoImages(place.at('layout'))
    const command = `"${onefold}" --store "${place.at('store')}"`
    const shell = (script: string): { code: number | null; err: string } => {
      const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
      return { code: status, err: stderr }
    }
    assert.deepEqual(shell(`${command} pull oci:${place.at('layout')}:a --name a 2>&- >&-`), { code: 0, err: '' })
    assert.deepEqual(shell(`${command} ls a shared | head -n 1 >/dev/null; exit \${PIPESTATUS[1]}`), {
      code: 0,
      err: '',
    })
    const full = shell(`${command} ls a >/dev/full`)
    assert.equal(full.code, 1)
    assert.match(full.err, /^onefold: Cannot write the result: no space left on device \(ENOSPC\)\n$/)
  })
})

function isStaging(tmp: string): boolean {
  try {
    return fs.readdirSync(tmp).some((id) => fs.readdirSync(`${tmp}/${id}/objects`).length > 20)
  } catch {
    return false
  }
}
