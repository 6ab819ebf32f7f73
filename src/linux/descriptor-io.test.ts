import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { scratch } from '../../test/fixtures/scratch.ts'
import { readPieces, writeAll } from './descriptor-io.ts'

test('reads what was written, in pieces', () => {
  using folder = scratch('descriptor')
  const bytes = Buffer.alloc((1 << 20) + 5, 'abc')
  const out = openSync(folder.at('file'), 'w')
  writeAll(out, bytes)
  closeSync(out)
  assert.deepEqual(readFileSync(folder.at('file')), bytes)
  const fd = openSync(folder.at('file'), 'r')
  const pieces = [...readPieces(fd)].map((piece) => piece.length)
  closeSync(fd)
  assert.deepEqual(pieces, [1 << 20, 5])
})

test('waits for a pipe that does not block', () => {
  const module = JSON.stringify(new URL('./descriptor-io.ts', import.meta.url))
  // Node leaves pipes of its own non-blocking for whoever inherits them: the writer meets a full one.
  const script = `
    import { writeAll } from ${module}
    process.stdout._handle.setBlocking(false)
    writeAll(1, Buffer.alloc(1 << 20, 'x'))`
  const line = `${JSON.stringify(process.execPath)} --input-type=module --eval "$SCRIPT" | (sleep 0.3; wc -c)`
  const { stdout, stderr } = spawnSync('sh', ['-c', line], { env: { ...process.env, SCRIPT: script } })
  assert.deepEqual([stdout.toString().trim(), stderr.toString()], [String(1 << 20), ''])
})
