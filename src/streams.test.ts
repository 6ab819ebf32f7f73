import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { withResult } from './streams.ts'

describe('withResult()', () => {
  test('passes on what is yielded, then tells what was returned', async () => {
    const { stream, result } = withResult(counting(3))
    assert.deepEqual(await Array.fromAsync(stream), [0, 1, 2])
    assert.equal(result(), 'counted to 3')
  })

  test('a result may be undefined', async () => {
    const { stream, result } = withResult(
      (async function* (): AsyncGenerator<number, undefined> {
        yield* counting(1)
        return undefined
      })(),
    )
    assert.deepEqual(await Array.fromAsync(stream), [0])
    assert.equal(result(), undefined)
  })

  test('there is no result before the end', async () => {
    const { stream, result } = withResult(counting(3))
    assert.throws(result, /not read to its end/)
    for await (const _ of stream) break
    assert.throws(result, /not read to its end/)
  })

  test('who stops early stops the generator', async () => {
    let isClosed = false
    const { stream } = withResult(counting(3, () => (isClosed = true)))
    for await (const _ of stream) break
    assert.equal(isClosed, true)
  })

  test('passes on an error', async () => {
    const { stream, result } = withResult(failing())
    await assert.rejects(Array.fromAsync(stream), /no more/)
    assert.throws(result, /not read to its end/)
  })
})

async function* counting(count: number, close = (): void => {}): AsyncGenerator<number, string> {
  try {
    for (let i = 0; i < count; i++) yield i
    return `counted to ${count}`
  } finally {
    close()
  }
}

async function* failing(): AsyncGenerator<number, string> {
  yield 1
  throw new Error('no more')
}
