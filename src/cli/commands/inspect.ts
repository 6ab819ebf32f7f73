import { formatPlatform } from '../../formats/oci/platform.ts'
import type { SealState } from '../../transfer/seal/seal-check.ts'
import type { Store, StoredImage } from '../../store/store.ts'
import { proofReason } from '../../transfer/verify/proof.ts'
import type { Command } from '../command.ts'
import { imageOptions, obtainImage, openCallStore, treeOf } from '../image.ts'
import { formatBytes, jsonText, type Output } from '../output.ts'
import { usageUnless } from '../usage.ts'

export const inspect: Command = {
  operands: 'IMAGE',
  about: [
    'Shows all that is known of an image: its digests, layers and how far each is proven, and where it came from.',
    'An IMAGE that the store does not have is pulled first.',
  ].join('\n'),
  options: {
    manifest: { help: 'print the manifest instead, bytes as served' },
    config: { help: 'print the config instead, bytes as served' },
    tree: { help: 'print the merged tree instead, one line of JSON for each name (with --json: a list)' },
    ...imageOptions,
  },
  examples: [
    { command: 'onefold inspect alpine', meaning: 'for people' },
    { command: 'onefold inspect --config alpine | jq .config', meaning: 'how it wants to be started' },
    { command: 'onefold inspect --tree alpine', meaning: 'every name of the merged tree with all its metadata' },
  ],
  async run(call) {
    const { operands, options, out } = call
    usageUnless(operands.length === 1, 'inspect takes one IMAGE', 'inspect')
    const [name = ''] = operands
    await using store = await openCallStore(call)
    const image = await obtainImage(call, store, name)
    if (options.flag('manifest')) return out.bytes(store.blob(image.record.manifest.digest))
    if (options.flag('config')) return out.bytes(store.blob(image.record.config.digest))
    if (options.flag('tree')) return printTree(out, store, image)
    const digests = await digestsOf(store, image)
    if (out.json) return out.value(factsOf(image, digests))
    printFacts(out, image, digests, await formatTitles(image))
  },
}

async function printTree(out: Output, store: Store, image: StoredImage): Promise<void> {
  const { treeToJson } = await import('../../image/tree-json.ts')
  const entries = treeToJson(await treeOf(store, image))
  if (out.json) out.list(entries)
  else out.lines(entries.map((entry) => jsonText(entry)))
}

/** Composefs image by all its names, and the digests that the image itself claims. */
interface ImageDigests {
  /** fs-verity digest; undefined before the image is composed. */
  readonly fsverity: string | undefined
  /** sha256 of the file. */
  readonly sha256: string | undefined
  /** True when the kernel enforces `fsverity`. */
  readonly sealed: boolean
  readonly seals: readonly SealState[]
}

async function digestsOf(store: Store, { record, imageDigest }: StoredImage): Promise<ImageDigests> {
  const { sealStates } = await import('../../transfer/seal/seal-check.ts')
  const { digestOf } = await import('../../digest.ts')
  const seals = imageDigest === undefined ? [] : await sealStates(store, record)
  const bytes = imageDigest === undefined ? undefined : store.image(imageDigest)
  return {
    fsverity: imageDigest && `sha256:${imageDigest}`,
    sha256: bytes && digestOf(bytes),
    sealed: imageDigest !== undefined && (await store.isSealed(imageDigest)),
    seals,
  }
}

function factsOf({ names, top, record, imageDigest }: StoredImage, digests: ImageDigests): object {
  return {
    names,
    top,
    manifest: record.manifest,
    config: record.config,
    platform: formatPlatform(record.platform),
    image: imageDigest ?? null,
    imageDigests: { fsverity: digests.fsverity ?? null, sha256: digests.sha256 ?? null, sealed: digests.sealed },
    seals: digests.seals.map((seal) => ({ ...seal, kind: seal.kind ?? null })),
    size: record.size,
    keepSelinux: record.keepSelinux,
    origin: record.origin,
    layers: record.layers,
  }
}

/** The format of each layer with an index, as its descriptor or its record says; '' for the others. */
async function formatTitles({ record }: StoredImage): Promise<string[]> {
  const { loadFormats } = await import('../../formats/all.ts')
  const formats = await loadFormats()
  return record.layers.map(({ blob, toc }) => {
    const format = formats.find(({ name, binding }) => name === toc?.format || binding?.(blob) !== undefined)
    return format?.title ?? ''
  })
}

function printFacts(out: Output, image: StoredImage, digests: ImageDigests, formats: readonly string[]): void {
  const { names, top, record, imageDigest } = image
  out.line(`names      ${names.join(', ')}`)
  if (top.digest !== record.manifest.digest) out.line(`index      ${top.digest}`)
  out.line(`manifest   ${record.manifest.digest}`)
  out.line(`config     ${record.config.digest}`)
  out.line(`image      ${imageDigest ?? 'not composed yet'}`)
  if (digests.fsverity !== undefined)
    out.line(`  fsverity ${digests.fsverity}${digests.sealed ? '  sealed: the kernel enforces it' : ''}`)
  if (digests.sha256 !== undefined) out.line(`  sha256   ${digests.sha256}`)
  for (const { where, digest, verdict } of digests.seals) out.line(`  seal     ${digest}  ${where}, ${verdict}`)
  out.line(`platform   ${formatPlatform(record.platform)}`)
  out.line(`origin     ${record.origin.source}`)
  out.line(`size       ${formatBytes(record.size)} of files`)
  for (const [place, layer] of record.layers.entries()) {
    const { blob, diffId, recipe, kind, proof } = layer
    out.line(`layer      ${blob.digest}  ${formatBytes(blob.size)}`)
    if (formats[place] !== '') out.line(`  format   ${formats[place]}`)
    out.line(`  diffID   ${diffId}  ${proof}`)
    if (proof !== 'proven') out.line(`  proof    ${proofReason(layer)}`)
    out.line(`  recipe   ${recipe}${kind === 'plain' ? '  plain tree' : ''}`)
  }
}
