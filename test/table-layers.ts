/** Layers with a table, read from memory, and written. */
import assert from 'node:assert/strict'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { digestOf } from '../src/digest.ts'
import { type Descriptor, sizeOf } from '../src/formats/entry.ts'
import { type TocOptions, openToc } from '../src/formats/toc/open.ts'
import type { TocFile, TocLayer, Unit } from '../src/formats/toc.ts'
import { noise } from './registry.ts'
import { file, header, pax, trailer } from './tar-bytes.ts'

/** The parts of the blob that were asked for, and what came of it. */
export interface Opened {
  readonly toc: TocLayer | undefined
  readonly asked: readonly (readonly [start: number, end: number])[]
}

export function openLayer(layer: Descriptor, blob: Uint8Array, external?: Uint8Array, options?: TocOptions): Opened {
  const asked: [number, number][] = []
  const reading = openToc(layer, options)
  let step = reading.next()
  while (step.done !== true) {
    const need = step.value
    if (need.kind === 'range') asked.push([need.start, need.end])
    else assert.ok(external !== undefined, 'a table elsewhere is asked for')
    step = reading.next(need.kind === 'range' ? blob.subarray(need.start, need.end) : external!)
  }
  return { toc: step.value, asked }
}

const decoded = new WeakMap<Unit, Buffer>()

function decode(blob: Uint8Array, unit: Unit): Buffer {
  const known = decoded.get(unit)
  if (known !== undefined) return known
  const part = blob.subarray(unit.start, unit.end)
  const bytes = unit.coding.kind === 'gzip' ? gunzipSync(part) : zstdDecompressSync(part)
  decoded.set(unit, bytes)
  return bytes
}

/** A file's content out of the units of its chunks, compared with every digest there is. */
export function contentOf(blob: Uint8Array, toc: TocLayer, { entry, chunks, digest }: TocFile): Buffer {
  const parts = chunks.map(({ unit, skip, length, digest: part }) => {
    const bytes =
      unit === undefined ? Buffer.alloc(length) : decode(blob, toc.units[unit]!).subarray(skip, skip + length)
    if (part !== undefined) assert.equal(digestOf(bytes), part)
    return bytes
  })
  const content = Buffer.concat(parts)
  assert.equal(content.length, sizeOf(entry.content))
  if (digest !== undefined) assert.equal(digestOf(content), digest)
  return content
}

/** The tar, built again from its tar-split and the chunks. */
export function splitTar(blob: Uint8Array, toc: TocLayer): Buffer {
  const { framing, bodies, tarSize } = toc.tarSplit!
  const parts: Uint8Array[] = []
  let at = 0
  for (const body of bodies) {
    parts.push(framing.subarray(at, body.at), contentOf(blob, toc, toc.files[body.file]!))
    at = body.at
  }
  const tar = Buffer.concat([...parts, framing.subarray(at)])
  assert.equal(tar.length, tarSize)
  return tar
}

export function unpack(blob: Uint8Array): Buffer {
  return blob[0] === 0x1f ? gunzipSync(blob) : zstdDecompressSync(blob)
}

/** Everything that a generator yields, and what it returns. */
export async function collect<T>(pieces: AsyncGenerator<Uint8Array, T>): Promise<{ blob: Buffer; result: T }> {
  const parts: Uint8Array[] = []
  let step = await pieces.next()
  for (; step.done !== true; step = await pieces.next()) parts.push(step.value)
  return { blob: Buffer.concat(parts), result: step.value }
}

/** Content with what chunkers look for: long runs of zeros, repetitions, noise. */
export const anyContent: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      fc.nat(5000).map((length) => Buffer.alloc(length)),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(4000)).map(([seed, n]) => Buffer.alloc(n, seed)),
      fc.tuple(fc.nat(), fc.nat(40_000)).map(([seed, length]) => noise(length, seed)),
    ),
    { maxLength: 4 },
  )
  .map((parts) => Buffer.concat(parts))

const anyOwner = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.nat(70_000),
  gid: fc.nat(70_000),
  mtime: fc.nat(2_000_000_000),
})

/** What makes entries of one name, which stands before them. */
const anyEntry: fc.Arbitrary<(name: string) => Buffer> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(anyOwner, anyContent).map(
      ([owner, bytes]) =>
        (name: string) =>
          file({ name, ...owner }, bytes),
    ),
  },
  anyOwner.map((owner) => (name: string) => header({ name: `./${name}/`, typeflag: '5', ...owner })),
  anyOwner.map((owner) => (name: string) => header({ name, typeflag: '2', link: '../<target>', ...owner })),
  anyOwner.map(
    (owner) => (name: string) =>
      Buffer.concat([file({ name, ...owner }, 'x'), header({ name: `${name}-l`, typeflag: '1', link: name, size: 1 })]),
  ),
  anyOwner.map((owner) => (name: string) => header({ name, typeflag: '3', devmajor: 5, devminor: 77, ...owner })),
  fc.tuple(anyOwner, fc.uint8Array({ minLength: 1, maxLength: 30 })).map(
    ([owner, value]) =>
      (name: string) =>
        Buffer.concat([
          pax({
            path: `\xc3\xbc/${name}`,
            'SCHILY.xattr.user.x': Buffer.from(value).toString('latin1'),
            'SCHILY.xattr.user.empty': '',
            atime: '5.5',
          }),
          file({ name: 'overridden', ...owner }, 'with attributes'),
        ]),
  ),
)

/** Layers that every format here can hold: whole seconds, UTF-8, no name twice. */
export const anyTar: fc.Arbitrary<Buffer> = fc
  .tuple(fc.array(anyEntry, { maxLength: 7 }), fc.constantFrom(0, 1024, 9216))
  .map(([entries, more]) => Buffer.concat([...entries.map((make, i) => make(`n${i}`)), trailer, Buffer.alloc(more)]))
