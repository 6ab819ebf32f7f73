import { OnefoldError } from '../../src/error.ts'
import { parseConfig } from '../../src/formats/oci/image-config.ts'
import { parseDockerSave } from '../../src/formats/oci/docker-save.ts'
import { parseArtifact, parseManifest } from '../../src/formats/oci/manifest.ts'

const hex = '0123456789abcdef'.repeat(4)
const descriptor = (mediaType: string): object => ({ mediaType, digest: `sha256:${hex}`, size: 12345 })

const documents: readonly object[] = [
  {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json'),
    layers: [
      descriptor('application/vnd.oci.image.layer.v1.tar+gzip'),
      descriptor('application/vnd.oci.image.layer.v1.tar'),
    ],
    annotations: { 'org.example': 'x' },
  },
  {
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor('application/vnd.oci.image.manifest.v1+json'),
        platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
      },
      { ...descriptor('application/vnd.oci.image.index.v1+json'), artifactType: 'x' },
    ],
  },
]

const configs: readonly object[] = [
  {
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: ['A=1'],
      Cmd: ['sh'],
      Entrypoint: null,
      Labels: { a: 'b' },
      Volumes: { '/v': {} },
      ArgsEscaped: true,
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${hex}`] },
    history: [{ created_by: 'x', empty_layer: true }],
  },
]

/** Values that a member is replaced by: the wrong types, the edges of the right ones. */
const values: readonly string[] = [
  'null',
  '[]',
  '{}',
  '""',
  '"x"',
  '0',
  '-0',
  '-1',
  '1e400',
  '1.5',
  '9007199254740993',
  'true',
  '[null]',
  '[[]]',
  '[""]',
  '{"__proto__":null}',
  '{"a":{}}',
  '"sha256:"',
  '"\\ud800"',
  `"sha512:${hex}"`,
]

/** Damaged manifests and indexes end in a value or an OnefoldError. */
export function fuzzManifests(seed: number, rounds: number): void {
  const random = generator(seed)
  for (let i = 0; i < rounds; i++) {
    const bytes = damaged(documents, random)
    settles(
      () => parseManifest(bytes, random() < 0.5 ? {} : { mediaType: 'application/vnd.oci.image.index.v1+json' }),
      seed,
      i,
    )
    settles(() => parseArtifact(bytes), seed, i)
    settles(() => parseDockerSave(bytes), seed, i)
  }
}

/** Damaged configs end in a value or an OnefoldError. */
export function fuzzConfigs(seed: number, rounds: number): void {
  const random = generator(seed)
  for (let i = 0; i < rounds; i++) {
    const bytes = damaged(configs, random)
    settles(() => parseConfig(bytes, 1), seed, i)
  }
}

function settles(parse: () => unknown, seed: number, round: number): void {
  try {
    parse()
  } catch (cause) {
    if (!(cause instanceof OnefoldError)) throw new Error(`seed ${seed}, round ${round}`, { cause })
  }
}

/** A document with a member replaced, or with bytes changed, dropped or doubled, or both. */
function damaged(from: readonly object[], random: () => number): Uint8Array {
  const document = from[Math.floor(random() * from.length)]
  let text = JSON.stringify(document)
  if (random() < 0.7) text = replaceMember(text, random)
  const bytes = Buffer.from(text)
  const at = Math.floor(random() * bytes.length)
  const kind = random()
  if (kind < 0.2) bytes[at] = Math.floor(random() * 256)
  else if (kind < 0.3) return bytes.subarray(0, at)
  else if (kind < 0.4)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.floor(random() * bytes.length))])
  return bytes
}

function replaceMember(text: string, random: () => number): string {
  const members = [...text.matchAll(/"[A-Za-z_.]+":/g)]
  const member = members[Math.floor(random() * members.length)]
  const value = values[Math.floor(random() * values.length)]
  if (member === undefined) return text
  const start = member.index + member[0].length
  return `${text.slice(0, start)}${value}${text.slice(endOfValue(text, start))}`
}

/** The end of the JSON value that starts at `i`. */
function endOfValue(text: string, i: number): number {
  for (let depth = 0, inString = false; i < text.length; i++) {
    const char = text[i] ?? ''
    if (inString) inString = char !== '"'
    else if (char === '"') inString = true
    else if ('[{'.includes(char)) depth++
    else if (']},'.includes(char) && depth === 0) return i
    else if (']}'.includes(char)) depth--
  }
  return text.length
}

/** mulberry32: the same numbers for the same seed, everywhere. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
