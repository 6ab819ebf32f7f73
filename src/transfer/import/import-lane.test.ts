import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { directory, file, tarOf } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { digestOf, parseDiffId } from '../../digest.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { openStore } from '../../store/store.ts'
import { type LayerJob, defaultLimits } from './layer-job.ts'
import { Lane } from './import-lane.ts'

const tar = tarOf([directory('d'), file('d/inline', 'x'), file('d/object', Buffer.alloc(3000, 'object'))])

function jobFor(blob: Uint8Array, diffId = parseDiffId(digestOf(tar))): LayerJob {
  return { blob: digestOf(blob), blobSize: blob.length, diffId, file: undefined, limits: defaultLimits }
}

async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

async function withLane(threads: 1 | 2, use: (lane: Lane) => Promise<void>): Promise<void> {
  using place = scratch('lane')
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  await using lane = new Lane(transaction.place('lane'), threads)
  await use(lane)
}

for (const threads of [1, 2] as const)
  describe(`a lane of ${threads}`, () => {
    test('takes one layer after the other, however its bytes come', () =>
      withLane(threads, async (lane) => {
        const recipes = new Set<string>()
        for (const blob of [
          tar,
          gzipSync(tar),
          Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]),
        ])
          for (const length of [1, 1000, 1_000_000]) {
            const result = await lane.import(jobFor(blob), inPieces(blob, length))
            assert.deepEqual(
              [...readRecipe(result.recipeBytes).entries()].map(({ path, content }) => [path, content.kind]),
              [
                ['d', 'empty'],
                ['d/inline', 'inline'],
                ['d/object', 'object'],
              ],
            )
            recipes.add(result.recipe)
          }
        assert.equal(recipes.size, 1)
      }))

    test('refuses a layer cut short at any byte, and goes on with the next', () =>
      withLane(threads, async (lane) => {
        const small = tarOf([file('f', 'some content')]).subarray(0, 1024)
        for (const whole of [gzipSync(small), zstdCompressSync(small)]) {
          for (let length = 1; length < whole.length; length++) {
            const blob = whole.subarray(0, length)
            const found = lane.import(jobFor(blob, parseDiffId(digestOf(small))), inPieces(blob, 64))
            await assert.rejects(found, { code: /^(BAD_FORMAT|DIGEST_MISMATCH)$/ }, `${length} of ${whole.length}`)
          }
          await lane.import(jobFor(whole, parseDiffId(digestOf(small))), inPieces(whole, 64))
        }
      }))

    test('reports the source that fails', () =>
      withLane(threads, async (lane) => {
        const failing = async function* (): AsyncGenerator<Uint8Array> {
          yield tar.subarray(0, 600)
          throw new Error('the cable was cut')
        }
        await assert.rejects(lane.import(jobFor(tar), failing()), { message: 'the cable was cut' })
        await lane.import(jobFor(tar), inPieces(tar, 600))
      }))

    test('stops when it is told to', () =>
      withLane(threads, async (lane) => {
        const controller = new AbortController()
        const endless = async function* (): AsyncGenerator<Uint8Array> {
          yield tar.subarray(0, 600)
          controller.abort()
          await new Promise((resolve) => setTimeout(resolve, 20))
          yield tar.subarray(600)
        }
        await assert.rejects(lane.import(jobFor(tar), endless(), controller.signal), { name: 'AbortError' })
      }))
  })

for (const threads of [1, 2] as const)
  test(`a lane of ${threads} ends in the middle of an import`, () =>
    withLane(threads, async (lane) => {
      const first = Promise.withResolvers<void>()
      const endless = async function* (): AsyncGenerator<Uint8Array> {
        for (;;) {
          yield tar.subarray(0, 512)
          first.resolve()
          await new Promise(setImmediate)
        }
      }
      const importing = assert.rejects(lane.import(jobFor(tar), endless()), /the thread was ended/)
      await first.promise
      await lane[Symbol.asyncDispose]()
      await importing
      await assert.rejects(lane.import(jobFor(tar), inPieces(tar, 600)), /the thread was ended/)
    }))
