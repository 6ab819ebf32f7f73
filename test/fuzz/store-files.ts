import fc from 'fast-check'
import { type Digest, digestOf, parseDiffId, parseRecipeDigest, parseVerityDigest } from '../../src/digest.ts'
import { OnefoldError } from '../../src/error.ts'
import type { Descriptor } from '../../src/formats/oci/descriptor.ts'
import { parseHolds } from '../../src/store/transaction/holds.ts'
import { unpackRecipe } from '../../src/store/recipes/recipe-files.ts'
import { type ImageRecord, formatRecord, parseLayer, parseRecord } from '../../src/store/records/image-record.ts'
import { decodeRef, formatRef, parseRef } from '../../src/store/records/refs.ts'

const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const digest = hex.map((text): Digest => digestOf(text))
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER })
/** Text with what JSON and objects make special. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1 }),
  fc.constantFrom('__proto__', 'constructor', '"\\', 'é'),
)

const plain = { noNullPrototype: true } as const
const optional = {
  requiredKeys: ['mediaType', 'digest', 'size'] as ('mediaType' | 'digest' | 'size')[],
  noNullPrototype: true,
}

/** As readers give maps whose keys come from outside. */
function withoutPrototype(map: Record<string, string>): Record<string, string> {
  return Object.setPrototypeOf({ ...map }, null) as Record<string, string>
}

export const randomDescriptor: fc.Arbitrary<Descriptor> = fc.record(
  {
    mediaType: text,
    digest,
    size,
    artifactType: text,
    annotations: fc.dictionary(text, text).map(withoutPrototype),
    platform: fc.record(
      { os: text, architecture: text, variant: text, osVersion: text },
      { requiredKeys: ['os', 'architecture'], noNullPrototype: true },
    ),
  },
  optional,
)

export const randomRecord: fc.Arbitrary<ImageRecord> = fc.record(
  {
    manifest: randomDescriptor,
    config: randomDescriptor,
    platform: fc.record(
      { os: text, architecture: text, variant: text },
      { requiredKeys: ['os', 'architecture'], noNullPrototype: true },
    ),
    layers: fc.array(
      fc.record(
        {
          blob: randomDescriptor,
          diffId: digest.map(parseDiffId),
          recipe: hex.map(parseRecipeDigest),
          kind: fc.constantFrom('layer' as const, 'plain' as const),
          proof: fc.constantFrom('proven' as const, 'toc-only' as const, 'failed' as const),
        },
        plain,
      ),
      { maxLength: 4 },
    ),
    images: fc.oneof(
      fc.constant({}),
      hex.map((name) => ({ default: parseVerityDigest(name) })),
    ),
    origin: text.map((source) => ({ source })),
    keepSelinux: fc.boolean(),
    size,
  },
  plain,
)

/** Records, refs, holds and packed recipes with bytes changed, cut and inserted, and plain noise. */
export function fuzzStoreFiles(seed: number, rounds: number): void {
  const edit = fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.constantFrom('set', 'cut', 'insert'))
  fc.assert(
    fc.property(
      randomRecord,
      fc.array(edit, { maxLength: 6 }),
      fc.uint8Array({ maxLength: 300 }),
      (record, edits, noise) => {
        const name = record.manifest.digest
        const bytes = formatRecord(record)
        for (const input of [damaged(bytes, edits), damaged(formatRef(record.manifest), edits), noise]) {
          attempt(() => parseRecord(input, name))
          attempt(() => parseLayer(input, 'note'))
          attempt(() => parseRef(input, 'name'))
          attempt(() => [...parseHolds(input)])
          attempt(() => unpackRecipe(input, parseRecipeDigest('0'.repeat(64))))
          decodeRef(Buffer.from(input).toString('latin1'))
        }
      },
    ),
    { seed, numRuns: rounds },
  )
}

function damaged(bytes: Uint8Array, edits: readonly [number, number, string][]): Uint8Array {
  let out = [...bytes]
  for (const [at, byte, kind] of edits) {
    const index = at % (out.length + 1)
    if (kind === 'cut') out = out.slice(0, index)
    else out.splice(index, kind === 'set' ? 1 : 0, byte)
  }
  return Uint8Array.from(out)
}

function attempt(action: () => unknown): void {
  try {
    action()
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
  }
}
