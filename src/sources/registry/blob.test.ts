import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Fault } from '../../../test/servers/fault-proxy.ts'
import { behind, blobFaults, collect, everyBlob, failure, faultySuite } from '../../../test/servers/faulty-registry.ts'

const denied = '{"errors":[{"code":"DENIED","message":"no \\"x\\"\\u001b\\n"}]}'

faultySuite('a blob over a network that fails', (registry) => {
  for (const lent of [false, true])
    suite(`a blob arrives whole, in chunks that are ${lent ? 'lent' : 'given'}`, () => {
      const last = (): number => registry.bytes.length - 1
      const cases: readonly [name: string, faults: () => (Fault | undefined)[], ranges: () => string[]][] = [
        ['without faults', () => [], () => ['-']],
        ['cut off in the middle', () => [{ truncate: 70_000 }], () => ['-', 'bytes=70000-']],
        ['cut off before the last byte', () => [{ truncate: last() }], () => ['-', `bytes=${last()}-`]],
        ['cut off before the first byte', () => [{ truncate: 0 }], () => ['-', '-']],
        [
          'cut off again and again',
          () => [{ truncate: 10_000 }, { truncate: 20_000 }, { truncate: 30_000 }],
          () => ['-', 'bytes=10000-', 'bytes=30000-', 'bytes=60000-'],
        ],
        ['silent in the middle', () => [{ stall: 70_000 }], () => ['-', 'bytes=70000-']],
        ['silent from the start', () => [{ stall: 0 }], () => ['-', '-']],
        ['in slow small pieces', () => [{ drip: { bytes: 130_000, every: 30 } }], () => ['-']],
        ['without Content-Length', () => [{ chunked: true }], () => ['-']],
        ['ended early without Content-Length', () => [{ chunked: true, truncate: 9 }], () => ['-', 'bytes=9-']],
        [
          'from a registry without ranges',
          () => [{ truncate: 70_000 }, { noRange: true }],
          () => ['-', 'bytes=70000-'],
        ],
        [
          'from a registry without ranges that breaks off again',
          () => [{ truncate: 70_000 }, { noRange: true, truncate: 90_000 }, { noRange: true }],
          () => ['-', 'bytes=70000-', 'bytes=90000-'],
        ],
        ['when a range is refused', () => [{ truncate: 70_000 }, { status: 416 }], () => ['-', 'bytes=70000-', '-']],
        [
          'when other bytes than asked for come',
          () => [{ truncate: 70_000 }, { headers: { 'content-range': `bytes 0-${last()}/${registry.bytes.length}` } }],
          () => ['-', 'bytes=70000-', '-'],
        ],
        [
          'when a range comes without saying which',
          () => [{ truncate: 70_000 }, { headers: { 'content-range': undefined } }],
          () => ['-', 'bytes=70000-', '-'],
        ],
        ['labelled as compressed', () => [{ headers: { 'content-encoding': 'gzip' } }], () => ['-']],
        [
          'after 500, 502, 503 and 504',
          () => [500, 502, 503, 504].map((status) => ({ status })),
          () => Array(5).fill('-'),
        ],
      ]
      for (const [name, faults, ranges] of cases)
        test(name, async () => {
          const stallTimeout = name.startsWith('silent') ? 150 : 10_000
          await using setup = await behind(registry.open, blobFaults(...faults()), { stallTimeout })
          assert.deepEqual(await collect(setup.source.blob(registry.layer, { lent })), registry.bytes)
          assert.deepEqual(setup.ranges(), ranges())
        })

      test('reset in the middle', async () => {
        await using setup = await behind(registry.open, blobFaults({ reset: 70_000 }))
        assert.deepEqual(await collect(setup.source.blob(registry.layer, { lent })), registry.bytes)
        // A reset may overtake bytes that were sent before it.
        const [first, second = ''] = setup.ranges()
        assert.equal(first, '-')
        assert.match(second, /^bytes=\d{1,5}-$|^-$/)
      })

      test('from an offset, cut off', async () => {
        await using setup = await behind(registry.open, blobFaults({ truncate: 5 }))
        assert.deepEqual(
          await collect(setup.source.blob(registry.layer, { lent, offset: 100 })),
          registry.bytes.subarray(100),
        )
        assert.deepEqual(setup.ranges(), ['bytes=100-', 'bytes=105-'])
      })

      test('from an offset, without ranges', async () => {
        await using setup = await behind(registry.open, everyBlob({ noRange: true }))
        assert.deepEqual(
          await collect(setup.source.blob(registry.layer, { lent, offset: 150_000 })),
          registry.bytes.subarray(150_000),
        )
      })

      test('in more pieces than attempts, as long as each brings something', async () => {
        const pieces = Array.from({ length: 12 }, () => ({ truncate: 10_000 }))
        await using setup = await behind(registry.open, blobFaults(...pieces), { retry: { attempts: 2 } })
        assert.deepEqual(await collect(setup.source.blob(registry.layer, { lent })), registry.bytes)
        assert.deepEqual(setup.slept, Array(12).fill(200))
      })

      test('to a reader slower than the stall timeout', async () => {
        await using setup = await behind(registry.open, () => undefined, { stallTimeout: 150 })
        const chunks: Uint8Array[] = []
        for await (const chunk of setup.source.blob(registry.layer, { lent })) {
          chunks.push(Buffer.from(chunk))
          if (chunks.length === 1) await new Promise((resolve) => setTimeout(resolve, 400))
        }
        assert.deepEqual(Buffer.concat(chunks), registry.bytes)
        assert.deepEqual(setup.ranges(), ['-'])
      })
    })

  suite('a part of a blob', () => {
    const part = { offset: 100_000, end: 1_200_000, exact: true }
    const wanted = (): Buffer => registry.bytes.subarray(part.offset, part.end)

    for (const lent of [false, true]) {
      test(`arrives alone, in chunks that are ${lent ? 'lent' : 'given'}`, async () => {
        await using setup = await behind(registry.open, () => undefined)
        assert.deepEqual(await collect(setup.source.blob(registry.layer, { ...part, lent })), wanted())
        assert.deepEqual(setup.ranges(), ['bytes=100000-1199999'])
      })
      test(`goes on where it was cut off, ${lent ? 'lent' : 'given'}`, async () => {
        await using setup = await behind(registry.open, blobFaults({ truncate: 70_000 }, { status: 503 }))
        assert.deepEqual(await collect(setup.source.blob(registry.layer, { ...part, lent })), wanted())
        assert.deepEqual(setup.ranges(), ['bytes=100000-1199999', 'bytes=170000-1199999', 'bytes=170000-1199999'])
      })
    }

    test('at the end, at the beginning, and of no bytes', async () => {
      await using setup = await behind(registry.open, () => undefined)
      const { size } = registry.layer
      const read = (offset: number, end: number): Promise<Buffer> =>
        collect(setup.source.blob(registry.layer, { offset, end, exact: true }))
      assert.deepEqual(await read(size - 5, size), registry.bytes.subarray(-5))
      assert.deepEqual(await read(0, 5), registry.bytes.subarray(0, 5))
      assert.deepEqual(await read(7, 7), Buffer.alloc(0))
      assert.deepEqual(setup.ranges(), [`bytes=${size - 5}-`, 'bytes=0-4'])
    })

    test('is cut out of the whole when that is all there is', async () => {
      await using setup = await behind(registry.open, everyBlob({ noRange: true }))
      assert.deepEqual(await collect(setup.source.blob(registry.layer, { ...part, exact: false })), wanted())
    })

    test('is refused where only the whole is given out', async () => {
      for (const fault of [{ noRange: true }, { status: 416 }, { headers: { 'content-range': undefined } }]) {
        await using setup = await behind(registry.open, everyBlob(fault))
        const error = await failure(collect(setup.source.blob(registry.layer, part)))
        assert.equal(error.code, 'UNSUPPORTED')
        assert.equal(setup.ranges().length, 1)
      }
    })

    test('is no part when it ends behind the blob', async () => {
      await using setup = await behind(registry.open, () => undefined)
      const end = registry.layer.size + 1
      assert.equal((await failure(collect(setup.source.blob(registry.layer, { end })))).code, 'USAGE')
    })
  })

  suite('a blob is refused', () => {
    const cases: readonly [name: string, fault: Fault, code: string, found: RegExp][] = [
      ['that never starts', { truncate: 0 }, 'NETWORK', /the connection broke off/],
      ['that stays silent', { stall: 0 }, 'NETWORK', /nothing came for 0.15 s/],
      ['whose length differs', { status: 200, body: 'short' }, 'DIGEST_MISMATCH', /expected \d+ bytes, .* has 5 bytes/],
      ['that is too long', { chunked: true, extra: 1 }, 'DIGEST_MISMATCH', /at least \d+ bytes/],
      ['that is always broken', { status: 503 }, 'NETWORK', /answers 503/],
      ['with 418', { status: 418 }, 'NETWORK', /answers 418/],
      ['with 206 unasked', { status: 206, body: 'x' }, 'NETWORK', /asked for no range/],
      ['with 204', { status: 204 }, 'NETWORK', /answers 204/],
      ['with 403', { status: 403, body: denied }, 'DENIED', /refuses us without credentials \(403: DENIED no "x" \)/],
      ['with 404', { status: 404, body: 'gone' }, 'NOT_FOUND', /answers 404$/],
      ['with 300 and nowhere to go', { status: 302 }, 'NETWORK', /answers 302/],
    ]
    for (const [name, fault, code, found] of cases)
      test(name, async () => {
        await using setup = await behind(registry.open, everyBlob(fault), { retry: { attempts: 3 }, stallTimeout: 150 })
        const error = await failure(collect(setup.source.blob(registry.layer)))
        assert.equal(error.code, code)
        assert.match(error.message, found)
        assert.ok(error.message.includes(`blob ${registry.layer.digest} of ${setup.proxy.host}/app`), error.message)
        assert.ok(setup.slept.length <= 2)
      })

    test('that the registry has shorter than its manifest says', async () => {
      await using setup = await behind(registry.open, blobFaults({ chunked: true }))
      const error = await failure(collect(setup.source.blob({ ...registry.layer, size: registry.layer.size + 1 })))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.match(
        error.message,
        new RegExp(`expected ${registry.layer.size + 1} bytes, the registry has ${registry.layer.size} bytes`),
      )
    })

    test('whose ranges speak of another total', async () => {
      await using setup = await behind(
        registry.open,
        blobFaults({ truncate: 9 }, { headers: { 'content-range': 'bytes 9-99/100' } }),
      )
      const error = await failure(collect(setup.source.blob(registry.layer)))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      assert.match(error.message, /has 100 bytes/)
    })

    test('without ranges and broken always at the same byte, after so many tries', async () => {
      await using setup = await behind(registry.open, everyBlob({ noRange: true, truncate: 9 }), {
        retry: { attempts: 4 },
      })
      assert.equal((await failure(collect(setup.source.blob(registry.layer)))).code, 'NETWORK')
      assert.equal(setup.ranges().length, 4)
    })
  })

  suite('a server that wants patience', () => {
    test('Retry-After in seconds is honoured', async () => {
      await using setup = await behind(registry.open, blobFaults({ status: 429, headers: { 'retry-after': '7' } }))
      assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
      assert.deepEqual(setup.slept, [7000])
    })

    test('Retry-After as a date is honoured, up to a limit', async () => {
      const date = new Date(Date.now() + 3_600_000).toUTCString()
      await using setup = await behind(registry.open, blobFaults({ status: 503, headers: { 'retry-after': date } }))
      assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
      assert.deepEqual(setup.slept, [60_000])
    })

    test('429 without it backs off', async () => {
      await using setup = await behind(registry.open, blobFaults({ status: 429 }, { status: 429 }, { status: 429 }))
      assert.deepEqual(await collect(setup.source.blob(registry.layer)), registry.bytes)
      assert.deepEqual(setup.slept, [200, 400, 800])
    })

    test('manifests are tried again as well', async () => {
      await using setup = await behind(
        registry.open,
        (seen) => {
          if (!seen.path.includes('/manifests/')) return undefined
          return [{ status: 429 }, { truncate: 10 }, { stall: 10 }, { stall: 0 }][seen.before]
        },
        { stallTimeout: 150 },
      )
      assert.deepEqual(Buffer.from((await setup.source.resolve()).bytes), registry.image.manifest)
      assert.ok(setup.slept.length >= 4)
    })

    test('an endless 429 ends with a hint', async () => {
      await using setup = await behind(registry.open, everyBlob({ status: 429 }), { retry: { attempts: 2 } })
      const error = await failure(collect(setup.source.blob(registry.layer)))
      assert.match(error.message, /answers 429/)
      assert.match(error.hint ?? '', /limits requests/)
    })

    test('an abort ends the pause', async () => {
      const retry = { sleep: undefined, firstDelay: 60_000 }
      await using setup = await behind(registry.open, everyBlob({ status: 503 }), { retry })
      const signal = AbortSignal.timeout(50)
      await assert.rejects(collect(setup.source.blob(registry.layer, { signal })), { name: 'TimeoutError' })
    })

    test('an abort ends a silence', async () => {
      await using setup = await behind(registry.open, everyBlob({ stall: 100 }), { stallTimeout: 60_000 })
      const signal = AbortSignal.timeout(50)
      await assert.rejects(collect(setup.source.blob(registry.layer, { signal })), { name: 'TimeoutError' })
    })
  })
})
