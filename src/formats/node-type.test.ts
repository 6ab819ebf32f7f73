import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeType, nodeTypeOf, packDevice, typeBits, unpackDevice } from './node-type.ts'

const types: readonly NodeType[] = ['file', 'directory', 'symlink', 'char', 'block', 'fifo', 'socket']

test('a type is said by its bits of st_mode', () => {
  assert.equal(typeBits.socket | 0o600, 0o140600)
  for (const type of types) assert.equal(nodeTypeOf({ mode: typeBits[type] | 0o7777 }), type)
})

test('device numbers in 32 bits', () => {
  assert.equal(packDevice({ major: 1, minor: 3 }), 0x103)
  assert.equal(packDevice({ major: 259, minor: 70_000 }), 0x1111_0370)
  for (const [major, minor] of [
    [0, 0],
    [4095, 1_048_575],
    [259, 70_000],
  ] as const)
    assert.deepEqual(unpackDevice(packDevice({ major, minor })), [major, minor])
})
